package mail_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/mail/smtptest"
)

// BenchmarkNotice is a notice to ten reviewers and the requester, over a connection
// of its own or over one that is open already.
func BenchmarkNotice(b *testing.B) {
	for _, warm := range []bool{false, true} {
		b.Run(map[bool]string{false: "connection=new", true: "connection=open"}[warm], func(b *testing.B) {
			s := smtptest.Start(b, withUser(smtptest.Options{Forget: true}))
			c := config(s.Host, s.Port, s.Roots)
			c.PerMinute = unlimited
			m := mailer(b, c)
			if !warm {
				m.Close() // keeps none
			}
			n := toReviewers(10)
			if failed := m.Notify(b.Context(), n).Failed(); failed != nil {
				b.Fatal(failed)
			}
			connections, trips := s.Connections(), s.RoundTrips()
			for b.Loop() {
				if failed := m.Notify(b.Context(), n).Failed(); failed != nil {
					b.Fatal(failed)
				}
			}
			b.ReportMetric(float64(s.Connections()-connections)/float64(b.N), "connections")
			b.ReportMetric(float64(s.RoundTrips()-trips)/float64(b.N), "round-trips")
		})
	}
}

const unlimited = 1 << 30

// wait is a Sleep by the real clock.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// BenchmarkThousandNotices is 1,000 notices at once, each with the ten seconds that
// the broker gives. None is lost without a word. The memory is that of this
// process, in which the mail server runs as well.
func BenchmarkThousandNotices(b *testing.B) {
	const notices = 1000
	for _, perMinute := range []int{30, unlimited} {
		name := strconv.Itoa(perMinute)
		if perMinute == unlimited {
			name = "unlimited"
		}
		b.Run("per-minute="+name, func(b *testing.B) {
			s := smtptest.Start(b, withUser(smtptest.Options{Forget: true}))
			var most atomic.Uint64
			var accepted, undelivered int
			for b.Loop() {
				c := config(s.Host, s.Port, s.Roots)
				c.PerMinute, c.Now, c.Sleep = perMinute, time.Now, wait
				m := mailer(b, c)
				before := s.Taken()
				var told, untold atomic.Int64
				var sending sync.WaitGroup
				for i := range notices {
					sending.Go(func() {
						ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
						defer cancel()
						if m.Notify(ctx, request(i)).Failed() == nil {
							told.Add(1)
						} else {
							untold.Add(1)
						}
						if i%50 == 0 {
							most.Store(max(most.Load(), heap()))
						}
					})
				}
				sending.Wait()
				m.Close()
				if told.Load()+untold.Load() != notices || int64(s.Taken()-before) != told.Load() {
					b.Fatalf("%d told, %d not, and the server has %d", told.Load(), untold.Load(), s.Taken()-before)
				}
				accepted, undelivered = int(told.Load()), int(untold.Load())
			}
			if accepted > perMinute {
				b.Errorf("%d were sent, want at most %d", accepted, perMinute)
			}
			b.ReportMetric(float64(accepted), "accepted")
			b.ReportMetric(float64(undelivered), "undelivered")
			b.ReportMetric(float64(most.Load())/(1<<20), "MB-heap")
			b.ReportMetric(float64(s.MostConnections()), "connections")
			b.ReportMetric(resident(b), "MB-resident")
		})
	}
}

// heap is how much memory is in use, garbage included.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// resident is the most memory that this process has had so far, in MB.
func resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kilobytes float64
	if _, err := fmt.Sscan(string(after), &kilobytes); err != nil {
		b.Fatal(err)
	}
	return kilobytes / 1024
}

// Every one of very many notices is accepted or reported.
func TestNoNoticeIsLostWithoutAWord(t *testing.T) {
	for _, test := range []struct{ notices, perMinute, told int64 }{{1000, 30, 30}, {200, unlimited, 200}} {
		s := smtptest.Start(t, withUser(smtptest.Options{Forget: true}))
		c := config(s.Host, s.Port, s.Roots)
		c.PerMinute = int(test.perMinute)
		m := mailer(t, c)
		var told, untold atomic.Int64
		var sending sync.WaitGroup
		for i := range int(test.notices) {
			sending.Go(func() {
				// Nobody has the minute until the next turn.
				failed := m.Notify(ending{t.Context(), time.Now().Add(59 * time.Second)}, request(i)).Failed()
				if failed == nil {
					told.Add(1)
				} else if untold.Add(1); len(failed) != 3 {
					t.Errorf("undelivered %v", failed)
				}
			})
		}
		sending.Wait()
		if told.Load() != test.told || untold.Load() != test.notices-test.told || int64(s.Taken()) != test.told || s.MostConnections() > 3 {
			t.Errorf("%d told, %d not, the server has %d, over %d connections; want %d told", told.Load(), untold.Load(), s.Taken(), s.MostConnections(), test.told)
		}
	}
}

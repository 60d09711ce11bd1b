package load_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger/ledgertest"
)

// BenchmarkDecisions is how many approvals a second three instances take on one PostgreSQL,
// each of which is the whole of it: the request is read and verified, the approval signed
// and recorded with what people are to be told, the grant written by a platform that takes
// no time, recorded, and people told. None may be lost. How many there are depends on what
// else the machine does; how much time of processors one takes does not.
func BenchmarkDecisions(b *testing.B) {
	for name, settings := range map[string][]string{"disk=flushed": {"fsync=on", "synchronous_commit=on"}, "disk=not-waited-for": nil} {
		b.Run(name, func(b *testing.B) {
			p := newPlatform()
			var three []instance
			cluster := ledgertest.Start(b, settings...)
			databases, drop := on(b, cluster, 3)
			defer drop()
			for _, d := range databases {
				three = append(three, p.instance(store(b, d)))
			}
			ids := make([]string, b.N)
			err := inParallel(b.N, 12, func(i int) (err error) {
				// Of one person only so many requests may wait.
				ids[i], err = askedBy(b.Context(), three[i%3], access.Principal(fmt.Sprintf("ana-%d@example.com", i/100)), i, ofOne)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			began, service, database := time.Now(), used(b), cluster.CPU(b)
			err = inParallel(b.N, 12, func(i int) error {
				// Another instance than the one that was asked.
				_, err := three[(i+1)%3].Decide(b.Context(), caller(approvers[i%3]), approval(ids[i]))
				return err
			})
			took := time.Since(began)
			service, database = used(b)-service, cluster.CPU(b)-database
			b.StopTimer()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/took.Seconds(), "decisions/s")
			b.ReportMetric(float64(service.Microseconds())/1000/float64(b.N), "cpu-ms-service")
			b.ReportMetric(float64(database.Microseconds())/1000/float64(b.N), "cpu-ms-database")
			for i, id := range ids {
				if r, err := three[i%3].store.Open(b.Context(), id); err != nil || r.State != access.Active || p.written(id) != 1 {
					b.Fatalf("%s is %v, written %d times, %v", id, r.State, p.written(id), err)
				}
			}
		})
	}
}

// used is how much time of processors this process has used.
func used(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

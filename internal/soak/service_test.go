package soak_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// service is `jitaccess serve` as a process of its own. It is started again when it
// ends by itself, as Cloud Run does.
type service struct {
	origin string
	// confined is nil where there is no cgroup, and unconfined says why; memory is then
	// watched.
	confined    *confinement
	unconfined  error
	command     []string
	environment []string
	log         *os.File
	logPath     string

	mu       sync.Mutex
	process  *os.Process
	began    time.Time
	stopping bool
	ended    chan struct{}
	// ends are the ends that nobody asked for.
	ends []string
	// most is the most resident memory of any of the processes, in bytes.
	most int
}

// maxRestarts is how often it is started again.
const maxRestarts = 50

func build(t *testing.T) string {
	t.Helper()
	// That the test looks at the sources tells go when a cached result no longer counts.
	for _, root := range []string{"../../cmd", "../../internal", "../../web"} {
		if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				_, err = os.Stat(path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(t.TempDir(), "jitaccess")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "jitaccess/cmd/jitaccess")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// newService prepares the service; environment is what configures it.
func newService(t *testing.T, binary string, environment map[string]string) *service {
	t.Helper()
	s := &service{origin: "http://127.0.0.1:" + environment["PORT"], logPath: filepath.Join(t.TempDir(), "log")}
	for name, value := range environment {
		s.environment = append(s.environment, name+"="+value)
	}
	limit := asShipped(t)
	var err error
	if s.confined, err = confine(t); err != nil {
		s.unconfined = err
		s.command = []string{binary, "serve"}
		if limit == "" {
			limit = strconv.Itoa(memoryLimit * 9 / 10)
		}
	} else {
		s.command = s.confined.command(binary, "serve")
	}
	if limit != "" {
		s.environment = append(s.environment, "GOMEMLIMIT="+limit)
	}
	if s.log, err = os.Create(s.logPath); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		s.log.Close()
	})
	return s
}

// limit says what kept the memory of the service.
func (s *service) limit() string {
	if s.confined == nil {
		return fmt.Sprintf("no cgroup was to be had (%v), so that it ran under GOMEMLIMIT and was looked at every 50 ms", s.unconfined)
	}
	return fmt.Sprintf("a cgroup of %d MiB, in which the kernel killed %d processes", memoryLimit>>20, s.confined.killed())
}

// asShipped is the GOMEMLIMIT of the image; empty when it sets none.
func asShipped(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^ENV\s+GOMEMLIMIT[= ](\S+)`).FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// start starts it and waits until it is ready.
func (s *service) start(ctx context.Context) error {
	s.mu.Lock()
	s.stopping, s.ended = false, make(chan struct{})
	err := s.launch()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	go s.watchMemory(s.ended)
	return s.untilReady(ctx)
}

// launch makes a process, and another one when it ends by itself.
func (s *service) launch() error {
	command := exec.Command(s.command[0], s.command[1:]...)
	command.Env, command.Stdout, command.Stderr = s.environment, s.log, s.log
	// Nothing outlives the test.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return err
	}
	s.process, s.began = command.Process, time.Now()
	go func() {
		err := command.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stopping {
			close(s.ended)
			return
		}
		s.ends = append(s.ends, fmt.Sprintf("%v, %v after its start", err, time.Since(s.began).Round(time.Second)))
		if len(s.ends) > maxRestarts || s.launch() != nil {
			s.stopping = true
			close(s.ended)
		}
	}()
	return nil
}

func (s *service) untilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, "GET", s.origin+"/health/ready", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("the service does not get ready; see %s", s.logPath)
		}
	}
}

// stop ends it and waits until it has.
func (s *service) stop() {
	s.mu.Lock()
	if s.process == nil || s.stopping {
		s.mu.Unlock()
		return
	}
	s.stopping = true
	process, ended := s.process, s.ended
	s.mu.Unlock()
	process.Signal(os.Interrupt)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		process.Kill()
		<-ended
	}
}

// watchMemory keeps the most that any of the processes had, as the kernel counts it.
func (s *service) watchMemory(ended <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		s.most = max(s.most, kilobytes(s.process.Pid, "VmHWM")<<10)
		s.mu.Unlock()
		select {
		case <-tick.C:
		case <-ended:
			return
		}
	}
}

// kilobytes reads a field of a process's status; 0 when there is none.
func kilobytes(pid int, field string) int {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(value, "kB")))
			return n
		}
	}
	return 0
}

// processorTime is what the process has used.
func (s *service) processorTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	// In hundredths of a second on every platform of Go's.
	return time.Duration(user+system) * 10 * time.Millisecond
}

// died is the ends that nobody asked for, and the most memory so far.
func (s *service) died() (ends []string, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.ends...), s.most
}

// panics are the lines of the log that tell of one.
func (s *service) panics(t *testing.T) (lines []string) {
	t.Helper()
	file, err := os.Open(s.logPath)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	scan := bufio.NewScanner(file)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		if strings.Contains(scan.Text(), "panic") || strings.Contains(scan.Text(), "fatal error") {
			lines = append(lines, scan.Text())
		}
	}
	return lines
}

// pause waits, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/porttest"
	"jitaccess/internal/sandbox/google"
)

// binary is what `make build` makes, and what these benchmarks measure.
const binary = "../../bin/jitaccess"

// process is the service as a process of its own, as on Cloud Run.
type process struct {
	*exec.Cmd
	origin string
	began  time.Time
}

func startProcess(b *testing.B, w *world) *process {
	b.Helper()
	port := porttest.Free(b)
	p := &process{Cmd: exec.Command(binary), origin: "http://127.0.0.1:" + port}
	p.Env = []string{"PORT=" + port}
	for name, value := range w.Environment {
		p.Env = append(p.Env, name+"="+value)
	}
	p.Stderr = os.Stderr
	p.began = time.Now()
	if err := p.Start(); err != nil {
		b.Fatalf("%v: make build comes first", err)
	}
	return p
}

// until asks a path until it is answered with 200, and returns how long after the
// start that was. It asks a few thousand times a second, to leave the processor to
// the service.
func (p *process) until(b *testing.B, path string) float64 {
	b.Helper()
	for range 50_000 {
		answer, err := http.Get(p.origin + path)
		if err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return float64(time.Since(p.began)) / float64(time.Millisecond)
			}
		}
		time.Sleep(200 * time.Microsecond)
	}
	b.Fatal("the service does not start")
	return 0
}

// resident is how much memory the process has, in megabytes of 2²⁰ bytes; field is
// VmRSS, or VmHWM for the most that it had.
func (p *process) resident(b *testing.B, field string) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), field+":")
	value, _, _ := strings.Cut(strings.TrimSpace(rest), " kB")
	kilobytes, err := strconv.ParseFloat(value, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kilobytes / 1024
}

// stop tells the service to end, and waits until it has.
func (p *process) stop(b *testing.B) {
	b.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		b.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStart is from the start of the process to the first answer.
func BenchmarkStart(b *testing.B) {
	w := measured(b, nil)
	s := samples{}
	for b.Loop() {
		p := startProcess(b, w)
		s.add("ms-to-alive", p.until(b, "/health/alive"))
		b.StopTimer()
		s.add("MB-alive", p.resident(b, "VmRSS"))
		s.add("ms-to-ready", p.until(b, "/health/ready"))
		s.add("MB-ready", p.resident(b, "VmRSS"))
		p.stop(b)
		b.StartTimer()
	}
	s.report(b)
}

// BenchmarkResident is what the process has after 1,000 views of a page, by many
// people, of an ordinary project and of one with a large policy.
func BenchmarkResident(b *testing.B) {
	for name, id := range map[string]string{"ordinary": project, "large": largeProject} {
		b.Run("policy="+name, func(b *testing.B) {
			w := measured(b, replayed)
			s := samples{}
			for b.Loop() {
				p := startProcess(b, w)
				p.until(b, "/health/ready")
				for i := range 1000 {
					answer, err := http.DefaultClient.Do(w.as(colleague(i), "GET", p.origin+"/access/projects/"+id, ""))
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
					if answer.StatusCode != http.StatusOK {
						b.Fatal(answer.Status)
					}
				}
				s.add("MB-after-1000", p.resident(b, "VmRSS"))
				s.add("MB-most", p.resident(b, "VmHWM"))
				p.stop(b)
			}
			s.report(b)
		})
	}
}

// BenchmarkResidentMany is what the process has after a page of each of 1,000 projects
// under a folder and an organization whose policies are as full as Google allows.
func BenchmarkResidentMany(b *testing.B) {
	const projects = 1000
	var full []string
	w := newWorld(b, surroundings{measured: true, options: google.Options{PageSize: 500},
		environment: map[string]string{"SMTP_SENDER_ADDRESS": ""}, organization: func(o *google.Organization) {
			policy := largePolicy(time.Now(), "group:"+o.Groups[0].Email)
			o.Policy.Bindings = append(o.Policy.Bindings, policy...)
			o.Folders[0].Policy.Bindings = append(o.Folders[0].Policy.Bindings, policy...)
			for i := range colleagues {
				o.People = append(o.People, google.Person{Email: colleague(i), Subject: fmt.Sprintf("accounts.google.com:%021d", i)})
				o.Groups[0].Members = append(o.Groups[0].Members, colleague(i))
			}
			for i := range projects {
				full = append(full, fmt.Sprintf("full-%04d", i))
				o.Projects = append(o.Projects, google.Project{ID: full[i], Number: fmt.Sprint(7_000_000_000 + i), DisplayName: full[i],
					Parent: "folders/" + o.Folders[0].ID})
			}
		}})
	s := samples{}
	for b.Loop() {
		p := startProcess(b, w)
		p.until(b, "/health/ready")
		for i, id := range full {
			answer, err := http.DefaultClient.Do(w.as(colleague(i), "GET", p.origin+"/access/projects/"+id, ""))
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				b.Fatal(answer.Status)
			}
		}
		s.add("MB-after-1000", p.resident(b, "VmRSS"))
		s.add("MB-most", p.resident(b, "VmHWM"))
		p.stop(b)
	}
	s.report(b)
}

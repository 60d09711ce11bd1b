package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// programsOf is a world that is measured, in which so many applications ask, of which each has
// the same key.
func programsOf(b *testing.B, count int) *world {
	b.Helper()
	file := deployerPolicy(b)
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	first, one, _ := strings.Cut(string(text), "  - name: deployer\n")
	var all strings.Builder
	all.WriteString(first)
	for i := range count {
		all.WriteString("  - name: deployer-" + strconv.Itoa(i) + "\n" + strings.Replace(one, deployURI, fmt.Sprintf("https://deploy-%d.example.com", i), 1))
	}
	if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	w := measured(b, nil)
	environment := onDisk(w, filepath.Join(b.TempDir(), "jitaccess.db"))
	maps.Copy(environment, map[string]string{"POLICY": file, "SIGNING_KEY": crashKey, "WAITERS": "10000"})
	maps.Copy(w.Environment, environment)
	maps.DeleteFunc(w.Environment, func(_, value string) bool { return value == "" })
	return w
}

// requestOf is a request of one of them.
func requestOf(b *testing.B, w *world, of int, method, address, key string, body any) *http.Request {
	b.Helper()
	var content io.Reader
	if body != nil {
		content = strings.NewReader(encoded(b, body))
	}
	r, err := http.NewRequest(method, address, content)
	if err != nil {
		b.Fatal(err)
	}
	d := deployer{b, w, ""}
	r.Header.Set("Authorization", "Bearer "+d.token(func(claims jwt.MapClaims) { claims["iss"] = fmt.Sprintf("deploy-%d.example.com", of) }))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return r
}

// BenchmarkProgram is a request of an application and the collection of its token, each by
// itself, without mail and without a network before the service.
func BenchmarkProgram(b *testing.B) {
	w := programsOf(b, 1)
	w.restart(nil)
	send := func(r *http.Request) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		w.service.ServeHTTP(recorder, r)
		return recorder
	}
	s, n := samples{}, 0
	for b.Loop() {
		b.StopTimer()
		n++
		w.pass(10 * time.Second) // nobody is too fast
		ask := requestOf(b, w, 0, "POST", w.public+"/v1/approvals", "k"+strconv.Itoa(n), deployBody(nil))
		b.StartTimer()
		begin := time.Now()
		asked := send(ask)
		s.since("ms-create", begin)
		b.StopTimer()
		id := strings.TrimPrefix(asked.Header().Get("Location"), "/v1/approvals/")
		if asked.Code != http.StatusAccepted {
			b.Fatal(asked.Code, asked.Body)
		}
		if a := w.form(bob, "/review?activation="+id, url.Values{"verdict": {"approve"}}); a.status >= 400 {
			b.Fatal(a.status, a.body)
		}
		collect := requestOf(b, w, 0, "GET", w.public+"/v1/approvals/"+id, "", nil)
		b.StartTimer()
		begin = time.Now()
		collected := send(collect)
		s.since("ms-collect", begin)
		b.StopTimer()
		if !bytes.Contains(collected.Body.Bytes(), []byte(`"access_token"`)) {
			b.Fatal(collected.Code, collected.Body)
		}
		b.StartTimer()
	}
	s.report(b)
}

// BenchmarkWaiting is what the process has while 10,000 requests of ten applications wait for a
// hundred decisions, each on a connection of its own. They come 500 a second, which is somewhat
// faster than 10,000 who wait for 25 seconds each come again; five hundred more than may wait,
// which have to come later.
func BenchmarkWaiting(b *testing.B) {
	const waiters, arrivals, applications, requests = 10_500, 500, 10, 10
	w := programsOf(b, applications)
	s := samples{}
	for b.Loop() {
		p := startProcess(b, w)
		b.Cleanup(func() { p.Process.Kill() }) // where it fails on the way
		p.until(b, "/health/ready")
		s.add("MB-ready", p.resident(b, "VmRSS"))
		var looks [][]byte
		for i := range applications * requests {
			answer, err := http.DefaultClient.Do(requestOf(b, w, i/requests, "POST", p.origin+"/v1/approvals", fmt.Sprint(b.N, time.Now().UnixNano(), i), deployBody(nil)))
			if err != nil || answer.StatusCode != http.StatusAccepted {
				b.Fatal(answer, err)
			}
			answer.Body.Close()
			var look bytes.Buffer
			if err := requestOf(b, w, i/requests, "GET", p.origin+answer.Header.Get("Location")+"?wait=25", "", nil).Write(&look); err != nil {
				b.Fatal(err)
			}
			looks = append(looks, look.Bytes())
		}
		var over atomic.Bool
		s.add("MB-asked", p.resident(b, "VmRSS"))
		answers := make(chan error, waiters)
		for i := range waiters {
			if i%arrivals == 0 {
				time.Sleep(time.Second)
			}
			go func() {
				for !over.Load() {
					if err := waitOnce(p.origin, looks[i%len(looks)]); err != nil {
						answers <- err
						return
					}
				}
			}()
		}
		// When all of them wait, there is no place for one more.
		for full := false; !full; {
			answer, err := http.DefaultClient.Do(requestOf(b, w, 0, "GET", p.origin+strings.Replace(strings.Fields(string(looks[0]))[1], "=25", "=1", 1), "", nil))
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			full = answer.Header.Get("Retry-After") != "" && answer.StatusCode == http.StatusOK
			select {
			case err := <-answers:
				b.Fatal(err)
			default:
			}
			if time.Since(p.began) > 90*time.Second {
				b.Fatalf("they never wait all at the same time: %.0f MB", p.resident(b, "VmRSS"))
			}
		}
		s.add("MB-waiting", p.resident(b, "VmRSS"))
		s.add("MB-most", p.resident(b, "VmHWM"))
		over.Store(true)
		p.stop(b)
	}
	s.report(b)
}

// waitOnce sends a look on a connection of its own, and waits for the answer.
func waitOnce(origin string, look []byte) error {
	connection, err := net.Dial("tcp", strings.TrimPrefix(origin, "http://"))
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := connection.Write(look); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("a look is answered with %s", answer.Status)
	}
	if err == nil && answer.Header.Get("Retry-After") != "" {
		time.Sleep(5 * time.Second)
	}
	return err
}

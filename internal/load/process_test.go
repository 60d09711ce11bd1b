package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

// What this binary is told in its environment where it is to be an instance in a process of
// its own: the file of its database, and where the platform answers.
const (
	ownDatabase = "LOAD_DATABASE"
	ownPlatform = "LOAD_PLATFORM"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(ownDatabase); path != "" {
		if err := beInstance(path, os.Getenv(ownPlatform)); err != nil {
			panic(err)
		}
		return
	}
	ledgertest.Main(m)
}

// told is what an approver was told of a request.
type told struct {
	ID    string
	State access.State
	Code  access.Code
	Why   string
	// Again is how often it was sent again after a conflict: somebody was quicker, and whoever
	// presses again hears how it stands.
	Again int
}

// approve approves as somebody, as often as it takes.
func (i instance) approve(ctx context.Context, who access.Principal, id string) told {
	for again := 0; ; again++ {
		decided, err := i.Decide(ctx, caller(who), approval(id))
		if code := codeOf(err); code != access.CodeConflict {
			t := told{ID: id, State: decided.State, Code: code, Again: again}
			if err != nil {
				t.Why = err.Error()
			}
			return t
		}
	}
}

// beInstance is an instance on a database in SQLite to which the ids of requests come, a line
// each, and which approves them all at once as Cho.
func beInstance(path, at string) error {
	home, err := relational.SQLite(path)
	if err != nil {
		return err
	}
	defer home.Close()
	s, err := storeOf(home)
	if err != nil {
		return err
	}
	p := newPlatform()
	p.at = at
	own := p.instance(s)
	var mu sync.Mutex
	var all sync.WaitGroup
	answers := json.NewEncoder(os.Stdout)
	for requests := json.NewDecoder(os.Stdin); ; {
		var id string
		if err := requests.Decode(&id); errors.Is(err, io.EOF) {
			all.Wait()
			return nil
		} else if err != nil {
			return err
		}
		all.Go(func() {
			answer := own.approve(context.Background(), cho, id)
			mu.Lock()
			defer mu.Unlock()
			_ = answers.Encode(answer) // who does not hear it fails
		})
	}
}

// process is such an instance, as its parent has it.
type process struct {
	mu      sync.Mutex
	asks    *json.Encoder
	waiting map[string]chan told
}

// inProcess starts one; the platform of this process is that of both.
func (p *platform) inProcess(t *testing.T, path string) (_ *process, stop func()) {
	server := httptest.NewServer(p)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), ownDatabase+"="+path, ownPlatform+"="+server.URL)
	command.Stderr = os.Stderr
	in, failed := command.StdinPipe()
	out, err := command.StdoutPipe()
	if err = errors.Join(failed, err); err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	far := &process{asks: json.NewEncoder(in), waiting: map[string]chan told{}}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for answers := json.NewDecoder(out); ; {
			var a told
			err := answers.Decode(&a)
			far.mu.Lock()
			if err != nil {
				for id, c := range far.waiting {
					c <- told{ID: id, Why: "the process has ended: " + err.Error()}
				}
				far.waiting = nil
				far.mu.Unlock()
				return
			}
			far.waiting[a.ID] <- a
			delete(far.waiting, a.ID)
			far.mu.Unlock()
		}
	}()
	return far, func() {
		in.Close()
		<-heard
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
		server.Close()
	}
}

// approve has the process approve a request.
func (f *process) approve(id string) told {
	answer := make(chan told, 1)
	f.mu.Lock()
	if f.waiting == nil {
		f.mu.Unlock()
		return told{ID: id, Why: "the process has ended"}
	}
	f.waiting[id] = answer
	err := f.asks.Encode(id)
	f.mu.Unlock()
	if err != nil {
		return told{ID: id, Why: err.Error()}
	}
	return <-answer
}

// ServeHTTP is the platform as other processes use it: GET is what stands on a resource, POST
// writes a grant.
func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = json.NewEncoder(w).Encode(p.stands[access.Resource(r.URL.Query().Get("on"))])
		return
	}
	var g access.Grant
	if err := json.NewDecoder(r.Body).Decode(&g); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(g)
}

// far calls the platform in another process.
func (p *platform) far(method string, on access.Resource, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, p.at+"?on="+string(on), bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// standing is what stands on a resource, here or in another process.
func (p *platform) standing(on access.Resource) (all []access.Activation, err error) {
	if p.at != "" {
		return all, p.far(http.MethodGet, on, nil, &all)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.stands[on]), nil
}

// twoProcesses are an instance here and one in a process of its own, on one new file.
func (p *platform) twoProcesses(t *testing.T) (here instance, far *process, home *relational.Database, stop func()) {
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	home = open(t, 1, func() (*relational.Database, error) { return relational.SQLite(path) })[0]
	far, stop = p.inProcess(t, path)
	return p.instance(store(t, home)), far, home, stop
}

var _ broker.Provider = (*platform)(nil)

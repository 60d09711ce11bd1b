package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcemanager"
)

var writeCount = flag.Int("writes", 1000, "how many writes of policies are made that conflict with one another")

// Of each policy so many writes are made, by three instances of the granter and by others,
// before it is held against what was answered.
const (
	writesOfAPolicy = 50
	granters        = 3
	others          = 2
)

// versioned is Resource Manager with one policy, which compares etags as Google does: where
// one is sent. What others have put into the policy has fields and spaces that nobody here
// knows.
type versioned struct {
	mu       sync.Mutex
	version  int
	bindings []json.RawMessage
	written  int
	refused  int
	// blind: etags are not compared.
	blind bool
}

const audits = `[ {"service": "allServices",  "unheardOf": [1.0, 2e3]} ]`

// RoundTrip implements http.RoundTripper.
func (v *versioned) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, answer := http.StatusOK, []byte(nil)
	if strings.HasSuffix(r.URL.Path, ":setIamPolicy") {
		status, answer = v.set(body)
	} else {
		answer = v.get()
	}
	runtime.Gosched() // who reads is not alone with what was read
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(answer)), Header: http.Header{}, Request: r}, nil
}

func (v *versioned) get() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.policy()
}

func (v *versioned) policy() []byte {
	return fmt.Appendf(nil, `{"version":3,"etag":%q,"auditConfigs":%s,"bindings":[%s]}`, v.etag(), audits,
		bytes.Join(raws(v.bindings), []byte(",")))
}

func (v *versioned) etag() string { return fmt.Sprintf("v%d", v.version) }

func raws(all []json.RawMessage) (texts [][]byte) {
	for _, b := range all {
		texts = append(texts, b)
	}
	return texts
}

func (v *versioned) set(body []byte) (int, []byte) {
	var in struct {
		Policy struct {
			Etag         string
			Bindings     []json.RawMessage
			AuditConfigs json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || string(in.Policy.AuditConfigs) != audits {
		return http.StatusBadRequest, []byte(`{"error":{"code":400,"status":"INVALID_ARGUMENT"}}`)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if in.Policy.Etag != "" && in.Policy.Etag != v.etag() && !v.blind {
		v.refused++
		return http.StatusConflict, []byte(`{"error":{"code":409,"status":"ABORTED","message":"There were concurrent policy changes."}}`)
	}
	v.bindings = in.Policy.Bindings
	v.version++
	v.written++
	return http.StatusOK, v.policy()
}

// add puts a binding of somebody else's into the policy, by the rules.
func (v *versioned) add(binding string) {
	for {
		v.mu.Lock()
		version, bindings := v.version, slices.Clone(v.bindings)
		v.mu.Unlock()
		runtime.Gosched()
		v.mu.Lock()
		if version == v.version {
			v.bindings = append(bindings, json.RawMessage(binding))
			v.version++
			v.written++
			v.mu.Unlock()
			return
		}
		v.refused++
		v.mu.Unlock()
	}
}

// everything says what stands in the policy that is written, and nothing else.
type everything struct{}

func (everything) Prepare(_ context.Context, q access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error) {
	return func(p *iampolicy.Policy) access.Standing {
		found, _ := p.Activations(q.Resource)
		return access.Standing{Resource: q.Resource, Activations: found}
	}, nil
}

func (v *versioned) granter() *resourcemanager.Granter {
	// Whoever was not quick enough tries again at once: it is not the waiting that keeps
	// writes apart.
	return resourcemanager.NewGranter(resourcemanager.New(resourcemanager.Config{HTTP: &http.Client{Transport: v}, Endpoint: "http://127.0.0.1:1",
		Now: time.Now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}), everything{})
}

// answered is what one policy's writers were told.
type answered struct {
	mu      sync.Mutex
	foreign []string
	granted map[string]access.Window
	ended   map[string]bool
}

// write makes so many writes of a policy at the same time, and returns what of the answers
// does not stand in it afterwards.
func (v *versioned) write(ctx context.Context, writes int) (lost []string, err error) {
	a := &answered{granted: map[string]access.Window{}, ended: map[string]bool{}}
	on := access.Resource("projects/shop")
	var writers sync.WaitGroup
	var failed atomic.Pointer[error]
	each := writes / (granters + others)
	for w := range others {
		writers.Go(func() {
			for i := range each {
				binding := fmt.Sprintf(`{ "role":"roles/foreign%d.%d" ,  "members":["user:other-%d@example.com"], "unheardOf":{"n": %d.50} }`, w, i, w, i)
				v.add(binding)
				a.mu.Lock()
				a.foreign = append(a.foreign, binding)
				a.mu.Unlock()
			}
		})
	}
	for w := range granters {
		g := v.granter()
		// Two people at each instance, so that their edits share writes too.
		for person := range 2 {
			random := rand.New(rand.NewPCG(uint64(w), uint64(person)))
			writers.Go(func() {
				who := access.Principal(fmt.Sprintf("person-%d-%d@example.com", w, person))
				last := ""
				for i := range (each + 1 - person) / 2 {
					now := time.Now()
					if last != "" && random.IntN(3) == 0 {
						if _, err := g.End(ctx, access.Ending{RequestID: last, Principal: who, Resource: on, At: now.UTC().Truncate(time.Second), Since: now}); err != nil {
							failed.Store(&err)
							return
						}
						a.mu.Lock()
						a.ended[last] = true
						a.mu.Unlock()
						last = ""
						continue
					}
					id := fmt.Sprintf("jit-%04d%04d%08d", w, person, i)
					role := access.Role(fmt.Sprintf("roles/ours.%d", i))
					begins := now.UTC().Truncate(time.Second)
					grant := access.Grant{RequestID: id, Principal: who, Resource: on, Justification: "case 42",
						Entitlements: []access.EntitlementID{{Resource: on, Role: role}},
						Window:       access.Window{Start: begins, End: begins.Add(time.Hour)}}
					outcomes, err := g.Grant(ctx, grant, access.StandingQuery{Resource: on, Principals: []access.Principal{who}, Since: now},
						func(access.Standing) error { return nil })
					if err != nil {
						failed.Store(&err)
						return
					}
					a.mu.Lock()
					a.granted[id] = outcomes[0].Window
					a.mu.Unlock()
					last = id
				}
			})
		}
	}
	writers.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return v.lost(on, a)
}

// lost is what was answered and does not stand, and what stands twice.
func (v *versioned) lost(on access.Resource, a *answered) (lost []string, err error) {
	stands := map[string]int{}
	for _, b := range v.bindings {
		stands[string(b)]++
	}
	for _, b := range a.foreign {
		if stands[b] != 1 {
			lost = append(lost, fmt.Sprintf("%d times: %s", stands[b], b))
		}
	}
	policy, err := new(iampolicy.Policy).Reparse(v.policy())
	if err != nil {
		return nil, err
	}
	found, warnings := policy.Activations(on)
	if len(warnings) > 0 {
		return nil, warnings[0]
	}
	of := map[string][]access.Activation{}
	for _, f := range found {
		of[f.RequestID] = append(of[f.RequestID], f)
	}
	for id, w := range a.granted {
		if len(of[id]) != 1 || a.ended[id] == (of[id][0].Window == w) {
			lost = append(lost, fmt.Sprintf("%s, ended %v: %v", id, a.ended[id], of[id]))
		}
	}
	return lost, nil
}

// TestNoWriteOfAPolicyIsLost has three instances of the granter grant and end, and others
// write, in the same policy at the same time. All that was answered as written stands
// afterwards: what others wrote, byte for byte, and what was granted, once, and what was ended.
func TestNoWriteOfAPolicyIsLost(t *testing.T) {
	written, refused, answers := 0, 0, 0
	began := time.Now()
	for ; answers < *writeCount; answers += writesOfAPolicy {
		v := &versioned{}
		lost, err := v.write(t.Context(), writesOfAPolicy)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range lost {
			t.Errorf("lost: %s", what)
		}
		written, refused = written+v.written, refused+v.refused
		if t.Failed() {
			break
		}
	}
	took := time.Since(began)
	t.Logf("%d changes that were answered in %v, %.0f a second, by %d writes; %d more were refused as conflicts and made again",
		answers, took.Round(time.Second/10), float64(answers)/took.Seconds(), written, refused)
	if refused == 0 {
		t.Error("nothing was in conflict")
	}
}

// TestTheCheckFindsALostWrite: where etags are not compared some of them are lost.
func TestTheCheckFindsALostWrite(t *testing.T) {
	for range 50 {
		v := &versioned{blind: true}
		if lost, err := v.write(t.Context(), writesOfAPolicy); err != nil || len(lost) > 0 {
			return
		}
	}
	t.Error("none was found")
}

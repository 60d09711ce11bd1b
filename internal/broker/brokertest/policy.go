package brokertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcemanager"
)

// granter is the one of Google Cloud, as a new instance of the service has it.
func (w *World) granter() *resourcemanager.Granter {
	client := resourcemanager.New(resourcemanager.Config{HTTP: &http.Client{Transport: policies{w}}, Endpoint: "http://127.0.0.1:1",
		Now: w.now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	return resourcemanager.NewGranter(client, standings{w})
}

// standings answers from the policy that is about to be written, and from Holdings.
type standings struct{ *World }

// Prepare implements resourcemanager.Standings.
func (w standings) Prepare(_ context.Context, q access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error) {
	s := w.standing(q)
	return func(p *iampolicy.Policy) access.Standing {
		written := s
		written.Activations, _ = p.Activations(q.Resource)
		return written
	}, nil
}

// policies is Resource Manager, of which the policies are what Activations say.
type policies struct{ *World }

// RoundTrip implements http.RoundTripper.
func (w policies) RoundTrip(r *http.Request) (*http.Response, error) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	path, method, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v3/"), ":")
	on := access.Resource(path)
	status, policy := http.StatusOK, w.policy(on)
	if method == "setIamPolicy" {
		var set struct{ Policy json.RawMessage }
		if err := json.Unmarshal(body, &set); err != nil {
			return nil, err
		}
		next, err := new(iampolicy.Policy).Reparse(set.Policy)
		switch {
		case err != nil:
			return nil, err
		case next.Etag() != etag(w.bindings(on)):
			status, policy = http.StatusConflict, []byte(`{}`)
		default:
			stands, _ := next.Activations(on)
			w.Activations = slices.DeleteFunc(w.Activations, func(a access.Activation) bool { return a.Entitlement.Resource == on })
			w.Activations = append(w.Activations, stands...)
			policy = w.policy(on)
		}
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(policy)), Header: http.Header{}, Request: r}, nil
}

func (w policies) policy(on access.Resource) []byte {
	bindings := w.bindings(on)
	return encode(map[string]any{"version": 3, "etag": etag(bindings), "bindings": bindings})
}

func (w policies) bindings(on access.Resource) []any {
	bindings := []any{}
	for _, a := range w.Activations {
		if a.Entitlement.Resource != on {
			continue
		}
		text, err := iampolicy.Describe(access.Grant{RequestID: a.RequestID, Justification: a.Justification, Approvers: a.Approvers,
			BreakGlass: a.BreakGlass}, iampolicy.MaxDescription)
		if a.Derived {
			text = strings.TrimSuffix(text, " ["+a.RequestID+"]")
		}
		expression, failed := condition.Activation(a.Window, a.Entitlement.Condition)
		if err != nil || failed != nil {
			panic(fmt.Sprint("no binding says ", a, err, failed))
		}
		bindings = append(bindings, map[string]any{"role": a.Entitlement.Role, "members": []string{"user:" + string(a.Principal)},
			"condition": map[string]any{"title": iampolicy.Title, "description": text, "expression": expression}})
	}
	return bindings
}

func etag(bindings []any) string {
	h := fnv.New64()
	h.Write(encode(bindings))
	return fmt.Sprintf("%x", h.Sum64())
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

package pomerium

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/outbound"
)

// idPattern is what is taken for an id, where it becomes part of an address.
var idPattern = lazyregexp.New(`^[A-Za-z0-9_-]{1,128}$`)

// How long one call may take, how much an answer may have, and how long is waited before a
// call is made again at most.
const (
	callTimeout = 10 * time.Second
	maxAnswer   = 32 << 20
	maxWait     = 3 * time.Second
	firstWait   = 200 * time.Millisecond
	maxReads    = 4
)

// client calls the API of Pomerium Zero as its user. What it sends is what Pomerium's JIT
// example sends (github.com/pomerium/jit-example, api.go).
type client struct {
	http                  *http.Client
	base                  string // with /api/v0
	organization, cluster string
	refreshToken          string
	tokens                tokens
	now                   func() time.Time
	sleep                 func(ctx context.Context, d time.Duration) error

	mu sync.Mutex
	// until is when the API wants to be asked again.
	until time.Time
}

func newClient(c Config) *client {
	k := &client{http: outbound.Client("pomerium", nil), base: strings.TrimSuffix(c.Endpoint, "/") + "/api/v0",
		organization: c.Organization, cluster: c.Cluster,
		refreshToken: c.RefreshToken, now: c.Now, sleep: c.Sleep}
	k.tokens = tokens{now: c.Now, fetch: k.fetchToken}
	return k
}

func (k *client) fetchToken(ctx context.Context) (idToken, error) {
	asked := k.now()
	body, err := json.Marshal(map[string]string{"refreshToken": k.refreshToken})
	if err != nil {
		return idToken{}, err
	}
	answer, err := k.send(ctx, http.MethodPost, "/token", body, "")
	if refused, ok := errors.AsType[*refusal](err); ok {
		refused.text = "" // it may say what was sent
		if refused.status == http.StatusBadRequest || refused.status == http.StatusForbidden || refused.status == http.StatusNotFound {
			refused.status = http.StatusUnauthorized
		}
	}
	if err != nil {
		return idToken{}, err
	}
	return parseToken(answer, asked)
}

// call makes one call as the user, and a second one with a new token where the API does not
// take the first.
func (k *client) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	for again := false; ; again = true {
		token, err := k.tokens.get(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := k.send(ctx, method, path, body, token)
		if refused, ok := errors.AsType[*refusal](err); !ok || refused.status != http.StatusUnauthorized || again {
			return answer, err
		}
		k.tokens.drop(token)
	}
}

// send sends one request. The error of an answer is a *refusal. While the API wants to be left
// alone nothing is sent.
func (k *client) send(ctx context.Context, method, path string, body []byte, token string) ([]byte, error) {
	if left := k.left(); left > 0 {
		return nil, &refusal{status: http.StatusTooManyRequests, after: left, text: "not asked, since it wants to be left alone"}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, k.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := k.http.Do(r)
	if err != nil {
		return nil, outbound.WithoutAddress(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(outbound.Bound(answer.Body, maxAnswer))
	switch {
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return nil, k.refused(answer, text)
	case errors.Is(err, outbound.TooLong{Max: maxAnswer}):
		return nil, nonsense(err)
	case err != nil:
		return nil, fmt.Errorf("%w: %v", errCut, err)
	}
	return text, nil
}

func (k *client) refused(answer *http.Response, text []byte) *refusal {
	r := &refusal{status: answer.StatusCode, text: string(text[:min(len(text), 1<<10)]), after: k.retryAfter(answer.Header.Get("Retry-After"))}
	if r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.until = k.now().Add(r.after)
	}
	return r
}

// left is for how long the API is still to be left alone.
func (k *client) left() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until.Sub(k.now())
}

// longestRest bounds what a header can do.
const longestRest = 5 * time.Minute

// retryAfter reads the header of that name: seconds, or a date (RFC 9110, 10.2.3).
func (k *client) retryAfter(text string) time.Duration {
	seconds, err := strconv.Atoi(text)
	after := time.Duration(seconds) * time.Second
	if at, failed := http.ParseTime(text); err != nil && failed == nil {
		after = at.Sub(k.now())
	}
	return max(0, min(after, longestRest))
}

// wait waits before an attempt after one that failed; false when there is no use, or no time.
func (k *client) wait(ctx context.Context, attempt int, err error) bool {
	d := firstWait << attempt
	if refused, ok := errors.AsType[*refusal](err); ok {
		d = max(d, refused.after)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d || d > maxWait {
		return false
	}
	return k.sleep(ctx, d) == nil
}

// read makes a call that changes nothing, some times while it fails in a way that may pass.
func (k *client) read(ctx context.Context, path string) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		answer, err := k.call(ctx, http.MethodGet, path, nil)
		if err == nil || !passing(err) || attempt+1 == maxReads || !k.wait(ctx, attempt, err) {
			return answer, err
		}
	}
}

func (k *client) policies() string {
	return "/organizations/" + url.PathEscape(k.organization) + "/policies"
}

// list are the policies of the cluster that bear a name.
func (k *client) list(ctx context.Context, name string) ([]*document, error) {
	answer, err := k.read(ctx, k.policies()+"?namespaceId="+url.QueryEscape(k.cluster))
	if err != nil {
		return nil, err
	}
	var all []json.RawMessage
	if err := json.Unmarshal(answer, &all); err != nil {
		return nil, nonsense(err)
	}
	var found []*document
	for _, text := range all {
		var head struct{ Name string }
		if json.Unmarshal(text, &head) != nil || head.Name != name {
			continue // what cannot be read of others is no reason
		}
		d, err := parseDocument(text)
		if err != nil && !errors.Is(err, errForm) {
			return nil, nonsense(err)
		}
		found = append(found, d)
	}
	return found, nil
}

// get reads one policy by its id.
func (k *client) get(ctx context.Context, id string) (*document, error) {
	answer, err := k.read(ctx, k.policies()+"/"+url.PathEscape(id))
	if err != nil {
		return nil, err
	}
	d, err := parseDocument(answer)
	switch {
	case errors.Is(err, errForm):
		return d, err
	case err != nil:
		return nil, nonsense(err)
	case d.id != id:
		return nil, nonsense(fmt.Errorf("asked for policy %s and got %s", id, d.id))
	}
	return d, nil
}

// put writes one policy, in one attempt.
func (k *client) put(ctx context.Context, d *document) error {
	answer, err := k.call(ctx, http.MethodPut, k.policies()+"/"+url.PathEscape(d.id), d.body())
	if err != nil {
		return err
	}
	if !json.Valid(answer) {
		return errCut
	}
	return nil
}

// create makes an empty policy, in one attempt, as Pomerium's JIT example does.
func (k *client) create(ctx context.Context, name string) error {
	body, err := json.Marshal(struct {
		Description string   `json:"description"`
		Enforced    bool     `json:"enforced"`
		Explanation string   `json:"explanation"`
		Name        string   `json:"name"`
		NamespaceID string   `json:"namespaceId"`
		PPL         struct{} `json:"ppl"`
		Remediation string   `json:"remediation"`
	}{Description: describes(name), Name: name, NamespaceID: k.cluster})
	if err != nil {
		return err
	}
	_, err = k.call(ctx, http.MethodPost, k.policies(), body)
	return err
}

// describes is the description of a policy that is made here.
func describes(name string) string {
	if name == ExamplePolicy {
		return "Example policy demonstrating Just-In-Time access"
	}
	return "Just-In-Time access, granted by jitaccess"
}

// changeset is a change of the cluster that is not applied yet.
type changeset struct{ ID, Status string }

// pending are the changesets of the cluster that wait to be applied.
func (k *client) pending(ctx context.Context) ([]changeset, error) {
	answer, err := k.read(ctx, k.changesets()+"?clusterId="+url.QueryEscape(k.cluster)+"&status=pending")
	if err != nil {
		return nil, err
	}
	var all []changeset
	if err := json.Unmarshal(answer, &all); err != nil {
		return nil, nonsense(err)
	}
	var waiting []changeset
	for _, c := range all {
		if c.Status == "pending" && idPattern().MatchString(c.ID) {
			waiting = append(waiting, c)
		}
	}
	return waiting, nil
}

func (k *client) apply(ctx context.Context, c changeset) error {
	_, err := k.call(ctx, http.MethodPost, k.changesets()+"/"+url.PathEscape(c.ID)+"/apply", nil)
	return err
}

func (k *client) changesets() string {
	return "/organizations/" + url.PathEscape(k.organization) + "/changesets"
}

// resourceOf is the resource of a policy.
func resourceOf(name string) access.Resource { return access.Resource(kind + "/" + name) }

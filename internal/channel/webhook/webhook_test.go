package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"jitaccess/internal/notice"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/callback"
	"jitaccess/internal/channel"
	"jitaccess/internal/channel/webhook"
)

var _ broker.Notifier = (*channel.Webhook)(nil)

var newest, older = []byte("a key of thirty-two bytes or so."), []byte("another key of 32 bytes, older.")

// hook is a program that listens.
type hook struct {
	*httptest.Server
	mu               sync.Mutex
	status           int
	retryAfter, said string
	header           []http.Header
	bodies           [][]byte
}

func newHook(t *testing.T) *hook {
	h := &hook{status: http.StatusNoContent}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		h.header, h.bodies = append(h.header, r.Header), append(h.bodies, body)
		if h.retryAfter != "" {
			w.Header().Set("Retry-After", h.retryAfter)
		}
		if h.status/100 == 3 {
			w.Header().Set("Location", "http://127.0.0.1:1/")
		}
		w.WriteHeader(h.status)
		io.WriteString(w, h.said)
	}))
	t.Cleanup(h.Close)
	return h
}

// telling is what tells hooks, with a newest and an older key for each.
func telling(hooks ...*hook) *channel.Webhook {
	addresses := access.Each(hooks, func(h *hook) string { return h.URL + "/a-secret" })
	keys := access.Each(hooks, func(*hook) string { return text(newest) + " " + text(older) })
	return of(kept(webhook.Kept(strings.Join(addresses, ","), strings.Join(keys, ","))))
}

func text(key []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(key) }

func kept(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

func of(read func(context.Context) (string, error)) *channel.Webhook {
	return webhook.New(channel.Config{Read: read, Client: callback.NewClient(nil, callback.Reach{Loopback: true}), Now: time.Now,
		Sleep: func(context.Context, time.Duration) error { return nil }}, true)
}

var (
	at    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	asked = access.Request{ID: "mpa-1", Principal: "ana@example.com", Resource: "projects/shop", Justification: "the secret reason",
		Entitlements: []access.EntitlementID{{Resource: "projects/shop", Role: "roles/viewer"}}, Reviewers: []access.Principal{"ben@example.com"}}
	window = access.Window{Start: at, End: at.Add(time.Hour)}
	byBen  = access.Decision{By: "ben@example.com", Verdict: access.Approve}
)

// schema is that of what is sent, as docs/openapi.yaml has it, and types are those that it names.
func schema(t *testing.T) (event *jsonschema.Schema, types []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("mem:///openapi.json", resource); err != nil {
		t.Fatal(err)
	}
	const at = "mem:///openapi.json#/components/schemas/Event"
	event, err = compiler.Compile(at)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range event.Properties["type"].Enum.Values {
		types = append(types, each.(string))
	}
	return event, types
}

// Every kind of notice has its type or none, and no body says why somebody asked.
func TestTypesOfWebhooks(t *testing.T) {
	event, types := schema(t)
	sent := map[string]bool{}
	for _, c := range []struct {
		notice access.Notice
		want   string
	}{
		{access.Notice{Kind: access.NoticeReview, Did: access.RequestMade}, "request.made by ana@example.com"},
		{access.Notice{Kind: access.NoticeReview, Did: access.ReviewersAdded}, "request.reviewers_added by ana@example.com"},
		{access.Notice{Kind: access.NoticeHappened, Did: access.RequestApproved, Decision: byBen}, "request.approved by ben@example.com"},
		{access.Notice{Kind: access.NoticeApproved, Did: access.RequestApproved, Decision: byBen, Window: window}, "request.granted by ben@example.com 12:00-13:00"},
		{access.Notice{Kind: access.NoticeSelfApproved, Did: access.SelfApproved, Window: window}, "request.granted by ana@example.com 12:00-13:00"},
		{access.Notice{Kind: access.NoticeDenied, Decision: byBen}, "request.denied by ben@example.com"},
		{access.Notice{Kind: access.NoticeWithdrawn}, "request.withdrawn by "},
		{access.Notice{Kind: access.NoticeHappened, Did: access.RequestLapsed}, "request.lapsed by "},
		{access.Notice{Kind: access.NoticeHappened, Did: access.GrantFailed}, "request.failed by "},
		{access.Notice{Kind: access.NoticeEnded, By: "dan@example.com"}, "grant.ended by dan@example.com"},
		{access.Notice{Kind: access.NoticeHappened, Did: access.GrantEnded, By: "ana@example.com"}, "grant.ended by ana@example.com"},
		{access.Notice{Kind: access.NoticeHappened, Did: access.GrantExpired}, "grant.ended by "},
		{access.Notice{Kind: access.NoticeEnding, Window: window}, "grant.expiring by  12:00-13:00"},
		{access.Notice{Kind: access.NoticeGlass}, "glass.broken by ana@example.com"},
		{access.Notice{Kind: access.NoticeGlassReviewed, Decision: byBen}, "glass.reviewed by ben@example.com"},
		{access.Notice{Kind: access.NoticeBounced}, "mail.bounced by "},
		{access.Notice{Kind: access.NoticeWithdrawn, By: "dan@example.com"}, "request.withdrawn by dan@example.com"},
		{access.Notice{Kind: access.NoticeReview, Did: access.RequestMade, By: "app:deployer"}, "request.made by app:deployer"},
		{access.Notice{Kind: notice.TestMessage}, "test by "},
		{access.Notice{Kind: access.NoticeReminder}, ""},
		{access.Notice{Kind: access.NoticeEscalated}, ""},
		{access.Notice{Kind: access.NoticeChanged}, ""},
		{access.Notice{Kind: access.NoticeHappened, Did: access.Reminded}, ""},
	} {
		h := newHook(t)
		n := c.notice
		n.ID, n.At, n.Request, n.ReviewURL = "n1", at, asked, "https://jit.example.com/?activation=mpa-1"
		receipts := telling(h).Notify(t.Context(), n)
		if c.want == "" {
			if len(receipts)+len(h.bodies) > 0 {
				t.Errorf("%s, %s: told %v", n.Kind, n.Did, receipts)
			}
			continue
		}
		if len(receipts) != 1 || receipts[0] != (access.Receipt{Channel: webhook.Channel, Ref: "n1"}) || len(h.bodies) != 1 {
			t.Fatalf("%s: %v, %d bodies", c.want, receipts, len(h.bodies))
		}
		var got struct {
			Type      string
			Timestamp time.Time
			Version   int
			Data      struct {
				ID, Requester, Resource, By, URL string
				Roles, Reviewers                 []string
				Start, End                       time.Time
			}
		}
		if err := json.Unmarshal(h.bodies[0], &got); err != nil {
			t.Fatal(err)
		}
		sent[got.Type] = true
		body, err := jsonschema.UnmarshalJSON(bytes.NewReader(h.bodies[0]))
		if err == nil {
			err = event.Validate(body)
		}
		if err != nil {
			t.Errorf("%s is not as docs/openapi.yaml has it: %v\n%s", got.Type, err, h.bodies[0])
		}
		said := got.Type + " by " + got.Data.By
		if !got.Data.Start.IsZero() {
			said += got.Data.Start.Format(" 15:04-") + got.Data.End.Format("15:04")
		}
		if said != c.want || !got.Timestamp.Equal(at) || got.Version != 1 || got.Data.ID != "mpa-1" || got.Data.Requester != "ana@example.com" ||
			got.Data.URL != n.ReviewURL || len(got.Data.Roles) != 1 || len(got.Data.Reviewers) != 1 {
			t.Errorf("%s, want %s: %s", said, c.want, h.bodies[0])
		}
		if strings.Contains(string(h.bodies[0]), "secret reason") || len(h.bodies[0]) > 2000 {
			t.Errorf("it says too much: %s", h.bodies[0])
		}
		verifier, _ := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(older))
		if err := verifier.Verify(h.bodies[0], h.header[0]); err != nil {
			t.Errorf("%s: %v", c.want, err)
		}
	}
	for _, each := range types {
		if !sent[each] {
			t.Errorf("docs/openapi.yaml names %s, which is not sent", each)
		}
	}
	document, err := os.ReadFile("../../../docs/webhooks.md")
	for each := range sent {
		if err != nil || !slices.Contains(types, each) || !strings.Contains(string(document), "`"+each+"`") {
			t.Errorf("the documents have no %s (%v)", each, err)
		}
	}
}

// Of what an application asks for it is the one who did it, be the notice of before that was told.
func TestAnApplicationAsks(t *testing.T) {
	h := newHook(t)
	n := review("n1")
	n.Request.Asking = access.Asking{Application: "deployer", Template: "deploy"}
	telling(h).Notify(t.Context(), n)
	if body := string(h.bodies[0]); !strings.Contains(body, `"by":"app:deployer"`) || !strings.Contains(body, `"requester":"ana@example.com"`) {
		t.Error(body)
	}
}

// What programs answer is explained, tells no secret, and says what to do.
func TestRefusalsOfProgramsAreExplained(t *testing.T) {
	for status, says := range map[int]string{400: "this form", 401: "signature", 403: "signature", 404: "at this path", 405: "at this path", 410: "nobody wants",
		422: "this form", 302: "not followed", 418: "refused it", 500: "fault of its own", 503: "fault of its own"} {
		h := newHook(t)
		h.status = status
		c := telling(h)
		err := c.Notify(t.Context(), review("n1"))[0].Err
		f, ok := errors.AsType[*channel.Fault](err)
		if !ok || !strings.Contains(f.Meaning, says) || f.Remedy == "" || strings.Contains(err.Error()+f.What(), "a-secret") {
			t.Errorf("%d: %v", status, err)
		}
		if recent := c.Recent(); len(recent) != 1 || recent[0].Failure == nil || recent[0].Kind != access.NoticeReview || len(h.bodies) != 1 {
			t.Errorf("%d: %+v, sent %d times", status, recent, len(h.bodies))
		}
	}
}

// Who wants no calls for a while gets none for as long, and neither by the next notice; the others do.
func TestWhoIsTooBusyRests(t *testing.T) {
	busy, other := newHook(t), newHook(t)
	busy.status, busy.retryAfter = http.StatusTooManyRequests, "3600"
	c := telling(busy, other)
	for _, id := range []string{"n1", "n2"} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := c.Notify(ctx, review(id))[0].Err; channel.CodeOf(err) != channel.TooMany {
			t.Errorf("%s: %v", id, err)
		}
	}
	if len(busy.bodies) != 1 || len(other.bodies) != 2 {
		t.Errorf("the busy one was called %d times, the other %d", len(busy.bodies), len(other.bodies))
	}
}

// The status alone counts; whoever tests sees what was said besides, without what is secret.
func TestAnErrorInsideOfASuccess(t *testing.T) {
	h := newHook(t)
	h.status, h.said = http.StatusOK, `{"error":"no such room /a-secret `+text(newest)+`"}`
	c := telling(h)
	if err := c.Notify(t.Context(), review("n1"))[0].Err; err != nil {
		t.Error(err)
	}
	steps := c.Test(t.Context(), "")
	last := steps[len(steps)-1]
	if last.Failure != nil || !strings.Contains(last.Text, "answered 200 and said") || !strings.Contains(last.Text, "no such room") && !strings.Contains(last.Text, "[redacted]") ||
		strings.Contains(last.Text, "a-secret") || strings.Contains(last.Text, text(newest)) {
		t.Errorf("%+v", steps)
	}
}

// What is no TLS, is not trusted, or leads to an address that is not public, is told apart.
func TestWhatIsOnTheWayIsToldApart(t *testing.T) {
	plain, secure := newHook(t), httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	for address, want := range map[string]string{strings.Replace(plain.URL, "http:", "https:", 1): "no TLS", secure.URL: "certificate"} {
		c := of(kept(webhook.Kept(address+"/a-secret", text(newest))))
		if err := c.Notify(t.Context(), review("n1"))[0].Err; channel.CodeOf(err) != want || strings.Contains(err.Error(), "a-secret") {
			t.Errorf("%s: %v", want, err)
		}
	}
	c := webhook.New(channel.Config{Read: kept(webhook.Kept(secure.URL, text(newest))), Client: callback.NewClient(nil, callback.Reach{}), Now: time.Now}, true)
	f, ok := errors.AsType[*channel.Fault](c.Notify(t.Context(), review("n1"))[0].Err)
	if !ok || f.Code != channel.NotPublic || !strings.Contains(f.Remedy, "WEBHOOK_ALLOW_PRIVATE") {
		t.Error(f)
	}
}

func review(id string) access.Notice {
	return access.Notice{ID: id, Kind: access.NoticeReview, Did: access.RequestMade, Request: asked, At: at}
}

// One listener that fails takes nothing from another, and no error has the path of an address.
func TestOneListenerThatFails(t *testing.T) {
	good, poor := newHook(t), newHook(t)
	poor.status = http.StatusInternalServerError
	down := newHook(t)
	down.Close()
	receipts := telling(poor, good, down).Notify(t.Context(), review("n1"))
	if len(receipts) != 1 || receipts[0].Err == nil || len(good.bodies) != 1 {
		t.Fatalf("%v; the other was told %d times", receipts, len(good.bodies))
	}
	text := receipts[0].Err.Error()
	if strings.Contains(text, "a-secret") || !strings.Contains(text, ": 500") || strings.Count(text, "127.0.0.1") < 2 {
		t.Error(text)
	}
}

// Who answers 410 is sent nothing more, and it is told once.
func TestWhoWantsNoMoreIsSentNoMore(t *testing.T) {
	gone, other := newHook(t), newHook(t)
	gone.status = http.StatusGone
	c := telling(gone, other)
	first := c.Notify(t.Context(), review("n1"))
	second := c.Notify(t.Context(), review("n2"))
	if channel.CodeOf(first[0].Err) != "410" || second[0].Err != nil || len(gone.bodies) != 1 || len(other.bodies) != 2 {
		t.Errorf("%v, %v; %d and %d", first, second, len(gone.bodies), len(other.bodies))
	}
	host := func(h *hook) string { return strings.TrimPrefix(h.URL, "http://") }
	if got, want := strings.Join(c.Listening(), ", "), host(gone)+" (answered 410 and gets no more), "+host(other); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// A test message is for them too, and who takes it gets the others again.
	c.Test(t.Context(), "")
	gone.status = http.StatusNoContent
	if c.Notify(t.Context(), review("n3")); len(gone.bodies) != 2 {
		t.Errorf("%d", len(gone.bodies))
	}
	c.Test(t.Context(), "")
	if c.Notify(t.Context(), review("n4")); len(gone.bodies) != 4 || strings.Contains(strings.Join(c.Listening(), ", "), "410") {
		t.Errorf("%d, %v", len(gone.bodies), c.Listening())
	}
	gone.status = http.StatusGone
	// Where all are gone nobody was told.
	alone := telling(gone)
	alone.Notify(t.Context(), review("n1"))
	if r := alone.Notify(t.Context(), review("n2")); len(r) > 0 {
		t.Errorf("told nobody, and says %v", r)
	}
}

// What is sent again has the id that it had; without one, as without a ledger, each has its own.
func TestTheIDOfAWebhook(t *testing.T) {
	h := newHook(t)
	c := telling(h)
	for _, id := range []string{"n1", "n1", "", ""} {
		c.Notify(t.Context(), review(id))
	}
	var ids []string
	for _, header := range h.header {
		ids = append(ids, header.Get("Webhook-Id"))
	}
	if ids[0] != "n1" || ids[1] != "n1" || ids[2] == "" || ids[2] == ids[3] {
		t.Errorf("%v", ids)
	}
}

func TestWithoutKeysNothingIsSent(t *testing.T) {
	h := newHook(t)
	for name, read := range map[string]func(context.Context) (string, error){
		"they cannot be read":   func(context.Context) (string, error) { return "", errors.New("403") },
		"an address has no key": kept(webhook.Kept(h.URL, "")),
	} {
		c := of(read)
		if r := c.Notify(t.Context(), review("n1")); r[0].Err == nil || len(h.bodies) > 0 {
			t.Errorf("%s: %v, sent %d", name, r, len(h.bodies))
		}
	}
	if off := of(nil); off.Channels() != nil {
		t.Error("there is a channel to nowhere")
	}
}

func TestATestWebhook(t *testing.T) {
	h := newHook(t)
	steps := telling(h).Test(t.Context(), "")
	if len(steps) != 2 || steps[1].Failure != nil || len(h.bodies) != 1 || !strings.Contains(string(h.bodies[0]), `"type":"test"`) {
		t.Errorf("%v: %s", steps, h.bodies)
	}
}

func TestWhoListens(t *testing.T) {
	key := func(n int) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n)))
	}
	const one, two = "https://hooks.example.com/x?token=y", "https://hooks.example.com/x,https://10.0.0.1/" // where it leads is looked at when it is dialled
	for _, c := range []struct{ addresses, keys, want string }{
		{one, key(24), "1"}, {one, key(64) + " " + key(32), "2"}, {two, key(32) + ", " + key(32) + " " + key(40), "1 2"},
		{one, "", "address 1 has no key"}, {two, key(32) + ",", "address 2 has no key"},
		{two, key(32), "2 addresses, and keys for 1: there are commas between addresses, and between their groups of keys"}, {one, key(32) + "," + key(32), "1 address, and keys for 2: there are commas between addresses, and between their groups of keys"},
		{one, key(23), "key 1 of address 1 is not whsec_ and base64 of 24 to 64 bytes"},
		{one, key(65), "key 1 of address 1 is not whsec_ and base64 of 24 to 64 bytes"},
		{one, key(32) + " hunter2", "key 2 of address 1 is not whsec_ and base64 of 24 to 64 bytes"},
		{one, strings.TrimPrefix(key(32), "whsec_"), "key 1 of address 1 is not whsec_ and base64 of 24 to 64 bytes"},
		{"http://hooks.example.com", key(32), "address 1 is not https; http is for this machine alone, where PUBLIC_URL is on it too"}, {"http://127.0.0.1:80/", key(32), "address 1 is not https; http is for this machine alone, where PUBLIC_URL is on it too"},
		{"ftp://x.example", key(32), "address 1 is not https; http is for this machine alone, where PUBLIC_URL is on it too"}, {"https://u:p@x.example", key(32), "address 1 has a user or a fragment"},
		{"https://x.example/#a", key(32), "address 1 has a user or a fragment"}, {"https:x", key(32), "address 1 is no URL"},
		{"", key(32), "address 1 is no URL"}, {one + ",hooks.example.com", key(32) + "," + key(32), "address 2 is no URL"},
		{"https://\n", key(32), "address 1 is no URL"}, {one + " " + one, key(32), "address 1 has a space in it; several addresses have commas between them"},
	} {
		counts, err := webhook.Keys(c.addresses, c.keys, false)
		got := strings.Join(counts, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q, %q: %s, want %s", c.addresses, c.keys, got, c.want)
		}
	}
	if targets, err := webhook.Keys("http://127.0.0.1:8080/", key(32), true); err != nil || len(targets) != 1 {
		t.Errorf("on this machine: %v, %v", targets, err)
	}
}

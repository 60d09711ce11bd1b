package channel_test

import (
	"cmp"
	"context"
	"flag"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/channel/googlechat"
	"jitaccess/internal/channel/slack"
	"jitaccess/internal/channel/teams"
	"jitaccess/internal/notice"
	"jitaccess/internal/outbound"
	"jitaccess/internal/sandbox/chat"
	"jitaccess/internal/words"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	ana  access.Principal = "ana@example.com"
	ben  access.Principal = "ben@example.com"
	carl access.Principal = "carl@example.com"
	dora access.Principal = "dora@example.com" // who is not in Slack
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// world has the three chats, and a clock that goes on where somebody waits.
type world struct {
	*chat.Chats
	t      *testing.T
	server *httptest.Server

	mu    sync.Mutex
	at    time.Time
	slept []time.Duration

	place      string
	token      string
	reasonless bool
	language   *words.Language // nil is English
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, at: noon, place: "#access", token: "xoxb-CANARY-1"}
	w.Chats = chat.New(chat.Options{Now: w.now, People: []string{string(ana), string(ben), string(carl)}, Channels: []string{"access", "ops"},
		SlackToken: "xoxb-CANARY-1", SpaceKey: "CANARY-space", WorkflowSignature: "CANARY-signature"})
	w.server = httptest.NewServer(w.Handler())
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) sleep(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.slept = w.at.Add(d), append(w.slept, d)
	return ctx.Err()
}

func (w *world) writer() notice.Writer {
	return notice.Writer{Language: cmp.Or(w.language, words.English()), Reasonless: w.reasonless, Provider: func(access.Resource) string { return "Google Cloud" }}
}

func kept(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

// config is of a channel with a secret; all are at one server.
func (w *world) config(secret func(context.Context) (string, error)) channel.Config {
	return channel.Config{Read: secret, Writer: w.writer(), Endpoint: w.server.URL, Client: outbound.Client("test", w.server.Client().Transport), Now: w.now, Sleep: w.sleep}
}

// told is a channel as administrators see it too.
type told interface {
	notice.Notifier
	Recent() []notice.Attempt
	Test(context.Context, access.Principal) []notice.Step
	Probe(context.Context, func(name, text string)) error
}

func (w *world) slack() told {
	return slack.New(w.config(func(context.Context) (string, error) { return w.token, nil }), w.place)
}

func (w *world) googleChat() told {
	return googlechat.New(w.config(kept("https://chat.googleapis.com/v1/spaces/AAAA/messages?key=CANARY-key&token=CANARY-space")))
}

const workflow = "/workflows/w/triggers/manual/paths/invoke"

func (w *world) teams() told {
	return teams.New(w.config(kept("https://prod-1.logic.azure.com" + workflow + "?api-version=2016-06-01&sig=CANARY-signature")))
}

// kind is one of the chats: how to make it, and the path at which it takes messages.
type kind struct {
	name, path, service string
	make                func(*world) told
}

var kinds = []kind{
	{"slack", "/api/chat.postMessage", "Slack", (*world).slack},
	{"googlechat", "/v1/spaces/AAAA/messages", "Google Chat", (*world).googleChat},
	{"teams", workflow, "Microsoft Teams", (*world).teams},
}

// asked is a notice that asks people to decide a request of ana.
func asked(to ...access.Principal) access.Notice {
	return access.Notice{
		ID: "N1", Kind: access.NoticeReview, Did: access.RequestMade,
		Request: access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Principal: ana, Resource: "projects/shop", Duration: time.Hour,
			Entitlements:  []access.EntitlementID{{Resource: "projects/shop", Role: "roles/editor"}},
			Justification: "Orders are stuck, case 4711", Reviewers: to, Created: noon, Expires: noon.Add(time.Hour)},
		To: to, CC: []access.Principal{ana}, Roles: []access.RoleInfo{{Title: "Editor", ChangesPermissions: access.Yes}},
		ReviewURL: "https://jit.example.com/review?activation=A", BaseURL: "https://jit.example.com/",
	}
}

// after is what comes of it: what was done, and what people are told of it.
func after(n access.Notice, did access.Action, kind access.NoticeKind) access.Notice {
	n.ID, n.Did, n.Kind = "N-"+string(did), did, kind
	n.Window = access.Window{Start: noon, End: noon.Add(3 * time.Hour)}
	switch kind {
	case access.NoticeApproved:
		n.To, n.CC, n.Decision = []access.Principal{ana}, n.Request.Reviewers, access.Decision{Verdict: access.Approve, By: ben, At: noon}
	case access.NoticeDenied:
		n.To, n.CC, n.Final = []access.Principal{ana}, n.Request.Reviewers, true
		n.Decision = access.Decision{Verdict: access.Deny, By: ben, At: noon, Comment: "Use the read-only role."}
	case access.NoticeHappened, access.NoticeSelfApproved:
		n.To, n.CC, n.By = nil, nil, ana
	case access.NoticeEnding, access.NoticeEnded:
		n.To, n.CC, n.By = []access.Principal{ana}, nil, ben
	case access.NoticeBounced:
		n.To, n.CC = []access.Principal{ana}, []access.Principal{carl}
		n.Bounce = access.Bounce{To: ben, Status: "5.1.1", Text: "<ben@example.com>: *no such user* <!channel>", Meaning: "There is no such address.",
			Remedy: "Correct the address.", At: noon}
	case access.NoticeGlass:
		n.To, n.CC = []access.Principal{ben, carl}, nil
	case access.NoticeGlassReviewed:
		n.To, n.CC, n.Decision = []access.Principal{ana}, nil, access.Decision{By: ben, At: noon, Comment: "Seen."}
	}
	return n
}

// key is a notice of a passkey of ana, which goes to her and, to be approved, to ben.
func key(kind access.NoticeKind) access.Notice {
	n := access.Notice{ID: "N-" + string(kind), Kind: kind, At: noon, Request: access.Request{Principal: ana}, To: []access.Principal{ana},
		BaseURL: "https://jit.example.com/", ReviewURL: "https://jit.example.com/passkeys",
		Passkey: access.Passkey{Of: ana, Name: "laptop <!here>", Enrolled: noon, ApprovedBy: ben, Approved: noon, RemovedBy: ana, Removed: noon}}
	if kind == access.NoticePasskeyAdded {
		n.To = append(n.To, ben)
	}
	return n
}

// reconciled is a notice of the weekly reconciliation.
func reconciled() access.Notice {
	return access.Notice{ID: "N-reconciled", Kind: access.NoticeReconciled, Did: access.Reconciled, At: noon, To: []access.Principal{carl},
		BaseURL: "https://jit.example.com/", Round: access.Round{Began: noon, Ended: noon, Looked: 2, Unread: 1, Differences: 1},
		Differences: []access.Difference{{Kind: access.Edited.Difference(), ID: "mpa-AAAAAAAAAAAAAAAA", Resource: "projects/shop", Principal: ana,
			Roles: []string{"roles/editor <!here>"}}}}
}

// everything is a notice of each kind that is told.
func everything() []access.Notice {
	n := asked(ben)
	return []access.Notice{n, after(n, access.Reminded, access.NoticeReminder), after(n, access.Escalated, access.NoticeEscalated),
		after(n, access.RequestApproved, access.NoticeApproved), after(n, access.RequestDenied, access.NoticeDenied),
		after(n, access.RequestWithdrawn, access.NoticeWithdrawn), after(n, access.GrantEnded, access.NoticeEnded),
		after(n, access.MailBounced, access.NoticeBounced), key(access.NoticePasskeyAdded), key(access.NoticePasskeyApproved), key(access.NoticePasskeyRemoved), reconciled(),
		after(n, access.Reminded, access.NoticeEnding), after(n, access.SelfApproved, access.NoticeSelfApproved),
		after(n, access.GlassBroken, access.NoticeGlass), after(n, access.GlassReviewed, access.NoticeGlassReviewed),
		after(n, access.RequestApproved, access.NoticeHappened), after(n, access.RequestLapsed, access.NoticeHappened),
		after(n, access.GrantFailed, access.NoticeHappened), after(n, access.GrantEnded, access.NoticeHappened),
		after(n, access.GrantExpired, access.NoticeHappened)}
}

// text is a message as people see it.
func text(m chat.Message) string {
	var b strings.Builder
	b.WriteString("  at " + m.Place + "\n  # " + m.Title + "\n")
	for _, line := range m.Lines {
		b.WriteString("  " + line + "\n")
	}
	for _, link := range m.Links {
		b.WriteString("  [" + link.Text + "] " + link.URL + "\n")
	}
	return b.String() + "  ~ " + m.Notification + "\n"
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != got {
		t.Errorf("%s differs (%v): go test ./internal/channel -update, and read the diff; now\n%s", golden, err, got)
	}
}

// within is a context with as much time as an action has to tell people.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func secretless(t *testing.T, what string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(text, "CANARY") || strings.Contains(text, "sig=") {
			t.Errorf("%s tells a secret: %s", what, text)
		}
	}
}

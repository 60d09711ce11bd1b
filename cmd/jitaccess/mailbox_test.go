package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/ledger"
	"jitaccess/internal/mail/postfixtest"
)

// TestWhatComesBackIsShownOnItsRequest: Postfix takes the mail to Bob, and sends it back later; the
// service reads that from Dovecot, shows it on the request, and tells Alice and the administrator.
// Nobody waits for the sweep: Dovecot says that there is news.
func TestWhatComesBackIsShownOnItsRequest(t *testing.T) {
	p := postfixtest.Start(t, postfixtest.Options{Mailboxes: []string{"jit", "alice", "carol"}, Gone: []string{"bob"}})
	d := postfixtest.StartDovecot(t, p, "jit")
	w := newWorld(t, surroundings{})
	w.restart(map[string]string{
		"K_SERVICE": "", "IAP_AUDIENCE": "/projects/" + w.cloud.ProjectNumber() + "/locations/" + w.cloud.Region() + "/services/jitaccess",
		"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "jitaccess.db"), "ADMINS": "user:carol@example.com",
		"SMTP_HOST": "127.0.0.1", "SMTP_PORT": strconv.Itoa(p.Port), "SMTP_USERNAME": "jit@example.com", "SMTP_SECRET": "",
		"SMTP_PASSWORD": postfixtest.Password, "SMTP_SENDER_ADDRESS": "jit@example.com", "SMTP_CA": filepath.Join(p.Directory, "tls/certificate.pem"),
		"IMAP_HOST": "127.0.0.1", "IMAP_PORT": strconv.Itoa(d.Port),
	})
	asked := w.api(alice, askURL, askBody(nil)).expect(t, 200)
	if len(asked.Warnings) > 0 {
		t.Fatal(asked.Warnings)
	}
	id := asked.Entitlements[0].ActivationID
	p.Wait(t, "status=bounced", 1)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var live answer
	for !strings.Contains(live.body, "came back") { // each answers when something has happened
		live = w.send(alice, w.request(http.MethodGet, "/requests/"+id+"?wait=1", nil).WithContext(ctx))
		if ctx.Err() != nil {
			t.Fatalf("it is not shown: %d %s\n%s", live.status, live.body, w.log.String())
		}
	}
	t.Logf("from the bounce to the page: %s", time.Since(began).Round(10*time.Millisecond))
	says(t, w.page(alice, "/requests/"+id).expect(t, 200), "A mail says that one to bob@example.com came back",
		"5.1.1 nobody is called that", "There is no mailbox at the recipient's address.")
	api := w.call(alice, "GET", "/api/requests/"+id, "", "X-JITACCESS", "1").expect(t, 200)
	if !strings.Contains(api.body, `"action":"mail bounced"`) || !strings.Contains(api.body, `"bounce":{"to":"bob@example.com","status":"5.1.1"`) {
		t.Error(api.body)
	}
	p.Wait(t, "to=<carol@example.com>", 1) // whom nothing else is told
	if !w.logged("api.bounce", "") {
		t.Error("it is not in the log")
	}

	// Administrators see where it is read, and what may be done there; others are told what is wrong.
	server := "127.0.0.1:" + strconv.Itoa(d.Port)
	says(t, w.page(carol, "/notifications").expect(t, 200), "are read at "+server+", STARTTLS demanded, as jit@example.com, in the folder INBOX",
		"stays, as read", "of ours that came back: 1")
	says(t, w.form(carol, "/notifications", url.Values{"channel": {"mail"}}).expect(t, 200), "ok mailbox: connect to "+server,
		"ok mailbox: log-in as jit@example.com by PLAIN", "ok mailbox: rights bounces of our mails are marked as read, nothing else is changed")
	for _, c := range []struct {
		change map[string]string
		code   int
		says   []string
	}{
		{nil, exitOK, []string{"ok       mailbox: " + server + ": log-in: as jit@example.com by PLAIN", "the server tells of new mail (IDLE)"}},
		{map[string]string{"IMAP_FOLDER": "Bounces"}, exitFailure, []string{"broken   mailbox: ", "See IMAP_FOLDER"}},
		{map[string]string{"IMAP_PASSWORD": "HUSH"}, exitFailure, []string{"broken   mailbox: ", "See IMAP_USERNAME and IMAP_PASSWORD"}},
	} {
		var out bytes.Buffer
		if code := examine(t.Context(), w.env(c.change), recipients{}, nil, &out); code != c.code || strings.Contains(out.String(), "HUSH") {
			t.Errorf("%v: exit status %d", c.change, code)
		}
		for _, text := range c.says {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%v: does not say %q:\n%s", c.change, text, out.String())
			}
		}
	}
}

// heldBox is a mailbox that is read until it is told to stop.
type heldBox struct {
	began chan struct{}
	stop  chan struct{}
	err   error
}

func (r *heldBox) Look(ctx context.Context) error {
	r.began <- struct{}{}
	select {
	case <-r.stop:
	case <-ctx.Done():
	}
	return r.err
}

func (r *heldBox) Listen(ctx context.Context) error { return r.Look(ctx) }

// A mailbox that hangs keeps nothing of the sweep waiting, with a ledger or without; what is wrong
// with it is in the log.
func TestTheMailboxDelaysNothing(t *testing.T) {
	swept := make(chan struct{}, 10)
	box := &heldBox{began: make(chan struct{}, 10), stop: make(chan struct{}), err: errors.New("the folder is gone")}
	var log lockedBuffer
	s := &sweeper{broker: sweepOnly(func() { swept <- struct{}{} }), ledger: &ledger.Store{}, mailbox: box, platform: config.AppEngine,
		log: slog.New(slog.NewTextHandler(&log, nil)), clock: wallClock}
	cron := httptest.NewRequest(http.MethodGet, cronPath, nil)
	cron.Header.Set("X-Appengine-Cron", "true")
	done := make(chan int)
	ask := func() {
		answer := httptest.NewRecorder()
		s.beside(http.NotFoundHandler()).ServeHTTP(answer, cron)
		done <- answer.Code
	}
	go ask()
	<-box.began
	<-swept // while it hangs
	close(box.stop)
	if code := <-done; code != http.StatusOK || !strings.Contains(log.String(), "the folder is gone") {
		t.Errorf("%d, %s", code, log.String())
	}
	s.ledger = nil
	go ask()
	<-box.began
	if code := <-done; code != http.StatusOK || len(swept) > 0 {
		t.Errorf("without a ledger: %d", code)
	}
}

type sweepOnly func()

func (s sweepOnly) Sweep(context.Context, int) (broker.Swept, error)          { s(); return broker.Swept{}, nil }
func (s sweepOnly) ReconcileStep(context.Context, int) (*access.Round, error) { return nil, nil }
func (s sweepOnly) Survey(context.Context, int) (broker.Surveyed, error) {
	return broker.Surveyed{}, nil
}

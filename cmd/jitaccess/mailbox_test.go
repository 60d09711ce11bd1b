package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var live answer
	for !strings.Contains(live.body, "came back") { // each answers when something has happened
		live = w.send(alice, w.request(http.MethodGet, "/requests/"+id+"?wait=1", nil).WithContext(ctx))
		if ctx.Err() != nil {
			t.Fatalf("it is not shown: %d %s\n%s", live.status, live.body, w.log.String())
		}
	}
	says(t, w.page(alice, "/requests/"+id).expect(t, 200), "A mail says that one to bob@example.com came back",
		"5.1.1 nobody is called that", "There is no mailbox at the recipient's address.")
	p.Wait(t, "to=<carol@example.com>", 1) // whom nothing else is told
}

package sandbox_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// What chats show, and what a program gets that listens, is on one page for who may see it; of what is
// not signed the program takes nothing.
func TestThePageOfChats(t *testing.T) {
	s := start(t, http.NotFound)
	env := s.Environment()
	a, _ := people(t, s)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(env["WEBHOOK_SECRET"], "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	c := browser(t)
	body := `{"type":"request.made","timestamp":"2026-03-01T12:00:00Z","version":1,"data":{"id":"mpa-1","url":"<b>here</b>"}}`
	post := func(body, id string, key []byte, at time.Time) int {
		seconds := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + seconds + "." + body))
		response, _ := do(t, c, "POST", env["WEBHOOK_URL"], body, "Content-Type", "application/json", "Webhook-Id", id, "Webhook-Timestamp", seconds,
			"Webhook-Signature", "v1,bm9uZQ== v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		return response.StatusCode
	}
	now := time.Now()
	for _, test := range []struct {
		name, body, id string
		key            []byte
		at             time.Time
		status         int
	}{
		{"signed", body, "n1", key, now, 204}, {"sent again", body, "n1", key, now, 204}, {"another's key", body, "n2", []byte("x"), now, 401},
		{"old", body, "n2", key, now.Add(-time.Hour), 401}, {"without an id", body, "", key, now, 401}, {"no JSON", "{", "n2", key, now, 400},
		{"no type", "{}", "n2", key, now, 400},
	} {
		if got := post(test.body, test.id, test.key, test.at); got != test.status {
			t.Errorf("%s: %d, want %d", test.name, got, test.status)
		}
	}
	endpoint := env["JITACCESS_CHAT_ENDPOINT"]
	workflow, err := os.ReadFile("testdata/card.json")
	if err != nil {
		t.Fatal(err)
	}
	s.Chats().SetSlackToken("xoxb-test")
	s.Chats().SetWorkflowSignature("test")
	slack := func(to string) {
		do(t, c, "POST", endpoint+"/api/chat.postMessage", `{"channel":"`+to+`","text":"t","blocks":[{"type":"header","text":{"type":"plain_text","text":"Request for access"}}]}`,
			"Content-Type", "application/json", "Authorization", "Bearer xoxb-test")
	}
	slack("#access")
	do(t, c, "POST", endpoint+"/workflows/sandbox/triggers/manual/paths/invoke?sig="+"test", string(workflow), "Content-Type", "application/json")
	signIn(t, c, s, a.Email, "/sandbox/")
	_, page := do(t, c, "GET", s.URL()+"/sandbox/chats", "")
	_, page, _ = strings.Cut(page, "<main>")
	got := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC`).ReplaceAllString(page, "TIME")
	if *update {
		if err := os.WriteFile("testdata/chats.html", []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/chats.html")
	if err != nil || string(want) != got {
		t.Errorf("%v; now (go test ./internal/sandbox -update)\n%s", err, got)
	}
}

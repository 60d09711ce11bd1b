package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox"
	"jitaccess/internal/sandbox/pomerium"
)

// Behind Pomerium, too, what changed is seen, and the clock goes to where a rule ends, so that the
// door shuts.
func TestBehindPomeriumTheClockShutsTheDoor(t *testing.T) {
	t.Setenv("K_SERVICE", "")
	t.Setenv("GAE_SERVICE", "")
	p, err := sandbox.StartPomerium(t.Context(), sandbox.Options{Address: "localhost:0"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(http.NotFoundHandler()) }()
	t.Cleanup(func() { p.Close(); <-ended })
	c, ana := browser(t), "sandbox_person=ana.weber@example.com"
	door := func(want int) {
		t.Helper()
		if response, _ := do(t, c, "GET", p.URL()+pomerium.DemoPath, "", "Cookie", ana, "Accept", "text/html"); response.StatusCode != want {
			t.Errorf("the door answers %d, want %d", response.StatusCode, want)
		}
	}
	door(http.StatusForbidden)
	end := p.Clock().Now().Add(30 * time.Minute).UTC().Truncate(time.Second).Format(time.RFC3339)
	rule := `{"allow":{"and":[{"email":{"is":"<b>nobody"}},{"date":{"before":"2001-01-01T00:00:00Z"}}]}}`
	if _, err := p.Zero().AddPolicy(pomerium.DemoPolicy, "["+rule+"]"); err != nil {
		t.Fatal(err)
	}
	if err := p.Zero().Edit(pomerium.DemoPolicy, func(string) string {
		return "[" + rule + `,{"allow":{"and":[{"email":{"is":"ana.weber@example.com"}},{"date":{"before":"` + end + `"}}]}}]`
	}); err != nil {
		t.Fatal(err)
	}
	door(http.StatusOK)
	_, page := do(t, c, "GET", p.URL()+"/sandbox/", "")
	for _, want := range []string{"lines added, 0 removed", "<i>added: </i>", "ana.weber@example.com", "&lt;b&gt;nobody"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<b>nobody") {
		t.Error("markup in a policy is markup")
	}
	for name, header := range map[string][]string{
		"another site": {"Content-Type", form, "Origin", "http://example.net"}, "no word of where from": {"Content-Type", form},
		"another name": {"Content-Type", form, "Origin", "http://evil.example.net", "Host", "evil.example.net"},
	} {
		if response, _ := do(t, c, "POST", p.URL()+"/sandbox/clock", fields("step", "1h"), header...); response.StatusCode < 400 || p.Clock().Ahead() != 0 {
			t.Errorf("%s: %d, and it is %v ahead", name, response.StatusCode, p.Clock().Ahead())
		}
	}
	response, page := do(t, c, "POST", p.URL()+"/sandbox/clock", fields("step", "end", "return", "/sandbox/"), "Content-Type", form, "Origin", p.URL())
	if response.StatusCode != http.StatusOK || !strings.Contains(page, "30 min ahead of the real time") {
		t.Errorf("%d: %s", response.StatusCode, page)
	}
	door(http.StatusForbidden)
	if response, _ := do(t, c, "POST", p.URL()+"/sandbox/clock", fields("step", "end"), "Content-Type", form, "Origin", p.URL()); response.StatusCode != http.StatusConflict {
		t.Errorf("nothing ends any more, and it answers %d", response.StatusCode)
	}
}

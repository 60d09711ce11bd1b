package sandbox_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// window opens Chromium for the test.
func window(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.WindowSize(1000, 900))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

func steps(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func value[T any](t *testing.T, ctx context.Context, action chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// keep writes a picture where PICTURES says, for people to look at.
func keep(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), value(t, ctx, chromedp.CaptureScreenshot()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestInABrowser walks the way of a newcomer: choose a person, see the bar in the
// service's page, open a mail, follow its link out of the frame.
func TestInABrowser(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		fmt.Fprint(w, `<!doctype html><title>Service</title><body><h1>The service</h1>`)
	})
	a, b := people(t, s)
	html := "Subject: Please review\r\nContent-Type: text/html\r\n\r\n" +
		`<!doctype html><body style="margin:0"><a id="review" style="display:block;height:60px" href="` + s.URL() + `/?activation=x">Review</a>`
	send(t, s, html, b.Email)

	ctx := window(t)
	steps(t, ctx,
		chromedp.Navigate(s.URL()+"/"),
		chromedp.Click(chromedp.CSS(`button[aria-label="Be `+a.Name+`"]`)),
		chromedp.WaitVisible(chromedp.CSS("body > h1")), // of the service's page only
	)
	keep(t, ctx, "service")
	colour := value(t, ctx, chromedp.Evaluate[string](`getComputedStyle(document.querySelector(".sandbox-bar")).backgroundColor`))
	if colour != "rgb(37, 34, 58)" {
		t.Errorf("the bar is %s: its stylesheet is not in force", colour)
	}
	steps(t, ctx,
		chromedp.SetValue(chromedp.CSS("#sandbox-person"), b.Email),
		chromedp.Click(chromedp.CSS(".sandbox-bar button")),
		chromedp.WaitVisible(chromedp.CSS(`.sandbox-bar a b`)),
		chromedp.Click(chromedp.CSS(`.sandbox-bar a[href="/sandbox/mailbox"]`)),
		chromedp.WaitVisible(chromedp.CSS(".mails")),
	)
	keep(t, ctx, "mailbox")
	// Navigate waits for the frames, too.
	steps(t, ctx, chromedp.Navigate(s.URL()+"/sandbox/mailbox/1"), chromedp.WaitVisible(chromedp.CSS("iframe.mail")))
	keep(t, ctx, "mail")
	frame := value(t, ctx, chromedp.Evaluate[[]float64](`(() => { const r = document.querySelector("iframe.mail").getBoundingClientRect(); return [r.x, r.y] })()`))
	// A click may come before the frame is drawn, and is lost then.
	left := false
	for range 10 {
		steps(t, ctx, chromedp.MouseClickXY(frame[0]+40, frame[1]+30))
		attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
		left = chromedp.Do(attempt, chromedp.WaitVisible(chromedp.CSS("body > h1"))) == nil
		cancel()
		if left {
			break
		}
	}
	if !left {
		t.Fatal("the link of the mail does not open on top")
	}
	if at := value(t, ctx, chromedp.Location()); at != s.URL()+"/?activation=x" {
		t.Errorf("the link of the mail led to %s", at)
	}
	if page := value(t, ctx, chromedp.Text(chromedp.CSS("body"))); !strings.Contains(page, "The service") || strings.Contains(page, "nobody yet") {
		t.Errorf("there is %q, want the service as %s", page, b.Name)
	}
	steps(t, ctx, chromedp.Navigate(s.URL()+"/sandbox/policy"), chromedp.WaitVisible(chromedp.CSS("table")))
	keep(t, ctx, "policy")
}

// Package chromiumtest starts a headless Chromium for tests.
package chromiumtest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Open starts a browser that ends with the test, and returns the context of its one
// tab, for package chromedp. It asks nothing of anybody by itself. An exception that a
// page's script does not catch fails the test.
func Open(t testing.TB) context.Context { return OpenFor(t, 3*time.Minute) }

// OpenFor is Open for a test that may take so long.
func OpenFor(t testing.TB, most time.Duration) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("Chromium is missing; `make test` installs it")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()),
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	// A script that fails half-way leaves a page that looks whole and is not.
	failed := func(event any) {
		if thrown, ok := event.(*runtime.EventExceptionThrown); ok {
			details := thrown.ExceptionDetails
			text := details.Text
			if details.Exception != nil {
				text += " " + details.Exception.Description
			}
			t.Errorf("a script failed: %s (%s:%d)", text, details.URL, details.LineNumber+1)
		}
	}
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}), chromedp.WithListener(failed))
	t.Cleanup(cancel)
	ctx, timeout := context.WithTimeout(ctx, most)
	t.Cleanup(timeout)
	return ctx
}

package mail_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"jitaccess/internal/access"
	"jitaccess/internal/chromiumtest"
)

var screenshots = flag.String("screenshots", "", "write a picture of every letter into this folder")

// renderedLetters are those of the golden files, and some that are hard to lay out.
func renderedLetters() map[string]access.Notice {
	all := letters()
	long := review()
	long.Request.Principal = access.Principal(strings.Repeat("a", 64) + "@" + strings.Repeat("b", 60) + ".example.com")
	long.Request.Resource = access.Resource("projects/" + strings.Repeat("p", 30))
	long.Request.Entitlements = []access.EntitlementID{{Resource: long.Request.Resource, Role: access.Role("organizations/123456789012/roles/" + strings.Repeat("r", 64)),
		Condition: "resource.name.startsWith('" + strings.Repeat("x", 300) + "')"}}
	long.Roles = nil
	long.Request.Justification = strings.Repeat("W", 250)
	long.BaseURL = "https://" + strings.Repeat("h", 60) + "." + strings.Repeat("i", 60) + ".example.com/"
	long.CC = []access.Principal{ana}
	all["long-words"] = long
	scripts := review()
	scripts.Request.Justification = everyScript
	all["every-script"] = scripts
	return all
}

// everyScript is a reason in many of them, from right to left first.
const everyScript = "إعادة تشغيل الخادم 7 · הפעלה מחדש של שרת 7 · सर्वर पुनः आरंभ करें · サーバーを再起動 · 重启服务器 · 서버 재시작 · 👩🏽 🇺🇦 𝒳 · e\u0301\u0323\u0308"

// problems looks at a rendered letter: whatever is wider than the screen, links that
// cannot be seen, text with too little contrast (WCAG 2, 1.4.3), and anything that
// was loaded.
const problems = `(() => {
	const found = [], screen = document.documentElement.clientWidth, wide = document.documentElement.scrollWidth - screen;
	if (wide > 0) found.push("wider than the screen by " + wide);
	const parse = color => (color.match(/[\d.]+/g) || []).map(Number);
	const light = color => { const [r, g, b] = parse(color).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor, p = parse(c); if (p.length < 4 || p[3] > 0) return c; } return "rgb(255, 255, 255)"; };
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = texts.nextNode();) {
		if (!n.data.trim()) continue;
		const e = n.parentElement, ink = getComputedStyle(e).color, paper = behind(e), a = light(ink), b = light(paper);
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) found.push("contrast " + contrast.toFixed(1) + " of " + ink + " on " + paper + ": " + n.data.trim().slice(0, 40));
		const range = document.createRange();
		range.selectNodeContents(n);
		for (const r of range.getClientRects()) if (r.left < 0 || r.right > screen) { found.push("sticks out: " + n.data.trim().slice(0, 40)); break; }
	}
	const links = [...document.links];
	if (!links.every(l => { const r = l.getBoundingClientRect(); return r.width > 40 && r.height > 14 && r.left >= 0 && r.right <= screen; })) found.push("a link cannot be seen");
	for (const e of performance.getEntriesByType("resource")) found.push("loaded " + e.name);
	return JSON.stringify(found);
})()`

// wantReadable opens letters in a browser, in light and dark, as wide as a telephone
// and as a desk.
func wantReadable(t *testing.T, pages map[string]string) {
	tab := chromiumtest.Open(t)
	directory := t.TempDir()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1280} {
			if err := chromedp.Do(tab, look(scheme, width)); err != nil {
				t.Fatal(err)
			}
			for _, name := range slices.Sorted(maps.Keys(pages)) {
				file := filepath.Join(directory, name+".html")
				if err := os.WriteFile(file, []byte(pages[name]), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := chromedp.Do(tab, chromedp.Navigate("file://"+file)); err != nil {
					t.Fatal(err)
				}
				text, err := chromedp.Run(tab, chromedp.Evaluate[string](problems))
				var found []string
				if err != nil || json.Unmarshal([]byte(text), &found) != nil {
					t.Fatalf("%s %v", text, err)
				}
				for _, problem := range found {
					t.Errorf("%s, %s, %d pixels: %s", name, scheme, width, problem)
				}
				picture(t, tab, fmt.Sprintf("%s-%s-%d.png", name, scheme, width))
			}
		}
	}
}

// look makes the browser prefer a colour scheme, and a window of a width.
func look(scheme string, width int64) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		if err == nil {
			_, err = chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
				Width: width, Height: 844, DeviceScaleFactor: 1, Mobile: width < 600,
			})
		}
		return chromedp.Void{}, err
	}
}

func picture(t *testing.T, tab context.Context, name string) {
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(*screenshots, name), png, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

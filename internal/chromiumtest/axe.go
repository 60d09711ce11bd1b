package chromiumtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Finding is what one rule of axe-core (https://github.com/dequelabs/axe-core/blob/develop/doc/rule-descriptions.md)
// says of a page.
type Finding struct {
	Rule   string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		Target  []any  `json:"target"`
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// String is the finding with the elements that it is about, one a line.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s", f.Rule, f.Impact, f.Help)
	for _, n := range f.Nodes {
		fmt.Fprintf(&b, "\n\t%v %s\n\t\t%s", n.Target, n.HTML, strings.ReplaceAll(n.Summary, "\n", "\n\t\t"))
	}
	return b.String()
}

// Audit is what axe-core says of a page.
type Audit struct {
	Violations []Finding `json:"violations"`
	// Incomplete is what a person must look at.
	Incomplete []Finding `json:"incomplete"`
	// Passed are the rules that found something to judge, and no fault.
	Passed []string `json:"passed"`
	// Path is that of the page, from its address.
	Path string `json:"path"`
}

// InstallAxe makes axe-core part of every page that the tab opens from now on.
func InstallAxe(t testing.TB, tab context.Context) {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	script, err := os.ReadFile(filepath.Join(filepath.Dir(self), "testdata", "node_modules", "axe-core", "axe.min.js"))
	if errors.Is(err, os.ErrNotExist) {
		t.Fatal("axe-core is missing; `make test` installs it")
	}
	if err != nil {
		t.Fatal(err)
	}
	BeforePages(t, tab, string(script))
	// Of several tabs one is in front; in the others, too, something has the focus.
	call(t, tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
}

// BeforePages runs a script in every page that the tab opens from now on, before its own.
func BeforePages(t testing.TB, tab context.Context, script string) {
	t.Helper()
	call(t, tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// Prefers makes the tab's user one with these preferences, in pairs of a media feature and its
// value, and without any other.
func Prefers(t testing.TB, tab context.Context, features ...string) {
	t.Helper()
	var p emulation.SetEmulatedMediaParams
	for i := 0; i+1 < len(features); i += 2 {
		p.Features = append(p.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	call(t, tab, emulation.SetEmulatedMedia, p)
}

// At makes the pages that the tab opens from now on see this time, which stands still, in UTC and
// in British English.
func At(t testing.TB, tab context.Context, now time.Time) {
	t.Helper()
	call(t, tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"})
	BeforePages(t, tab, fmt.Sprintf(`{
		const now = %d, Real = Date;
		Date = class extends Real { constructor(...at) { super(...(at.length ? at : [now])); } static now() { return now; } };
		Object.defineProperty(navigator, "languages", { get: () => ["en-GB"] });
	}`, now.UnixMilli()))
}

// Size gives the tab's window that many CSS pixels.
func Size(t testing.TB, tab context.Context, width, height int64) {
	t.Helper()
	call(t, tab, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
}

// axeRun runs rules over the page, and returns what there is to be known of it. Of the rules that
// passed only the names are of interest.
const axeRun = `(async () => {
	const found = await axe.run(document, {runOnly: %s, rules: %s, resultTypes: ["violations", "incomplete"]});
	const of = (list) => list.map(({id, impact, help, nodes}) => ({id, impact, help, nodes}));
	return JSON.stringify({violations: of(found.violations), incomplete: of(found.incomplete),
		passed: found.passes.map((p) => p.id), path: location.pathname});
})()`

// Rules are those of axe-core that Axe runs.
type Rules struct {
	// Tags name kinds of rules, and IDs single ones. One of both is used: IDs, if there are any.
	Tags, IDs []string
	// Besides are rules that belong to Tags and are switched off in axe-core as long as they are
	// not named; Without are rules of Tags that are not run.
	Besides, Without []string
}

// Axe runs axe-core over the page that the tab shows. InstallAxe must have been called before
// the page was opened.
func Axe(t testing.TB, tab context.Context, r Rules) Audit {
	t.Helper()
	only := map[string]any{"type": "tag", "values": r.Tags}
	if len(r.IDs) > 0 {
		only = map[string]any{"type": "rule", "values": r.IDs}
	}
	rules := map[string]any{}
	for _, id := range r.Besides {
		rules[id] = map[string]bool{"enabled": true}
	}
	for _, id := range r.Without {
		rules[id] = map[string]bool{"enabled": false}
	}
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	said, err := chromedp.Run(tab, chromedp.Evaluate[string](fmt.Sprintf(axeRun, encode(only), encode(rules)), chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("axe-core did not run: %v", err)
	}
	var a Audit
	if err := json.Unmarshal([]byte(said), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func call[P, R any](t testing.TB, tab context.Context, command cdp.Command[P, R], params P) R {
	t.Helper()
	result, err := chromedp.Call(tab, command, params)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

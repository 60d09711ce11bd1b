package storybook_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"jitaccess/internal/chromiumtest"
	"jitaccess/internal/server/storybook"
	"jitaccess/internal/words"
)

// look says what does not fit: how much wider than the window the page is and what of it sticks
// out, and what is to be pressed and is too small for a finger. Links within text and what is not
// shown are no targets (WCAG 2.2, 2.5.8).
const look = `(() => {
  const wide = document.documentElement.scrollWidth - innerWidth, says = [];
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.className ? "." + e.className : "");
  if (wide > 0) {
    const out = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + .5);
    says.push("is " + wide + " wider, by " + out.slice(0, 5).map(name).join(", "));
  }
  const low = (e, least) => {
    const box = (e.matches("input[type=checkbox], input[type=radio]") && e.closest("label") || e).getBoundingClientRect();
    if (box.width && box.height && (box.height < least - .5 || box.width < least - .5) && box.right > 0) {
      says.push(name(e) + " " + e.textContent.trim().slice(0, 20) + " is " + Math.round(box.width) + "×" + Math.round(box.height));
    }
  };
  for (const e of document.querySelectorAll("button, .button, summary, select, input:not([type=hidden])")) low(e, 24);
  for (const e of document.querySelectorAll("button.primary, button.danger, .button, .actions button, main input[type=text], main select")) low(e, 44);
  for (const e of document.querySelectorAll("nav a, li > a:only-child")) low(e, 24);
  return says;
})()`

// No page in any state scrolls sideways in a window of 320 pixels; nor with the letters twice as
// large, nor in half a window, as 200 % zoom makes it (WCAG 2.2, 1.4.4 and 1.4.10). Fingers find
// what is to be pressed. In other languages that is looked at where a page says most.
func TestPagesFitTheirWindow(t *testing.T) {
	pages := httptest.NewServer(storybook.Handler())
	defer pages.Close()
	tab := chromiumtest.OpenFor(t, 10*time.Minute)
	for _, language := range words.Choices() {
		t.Run(language.Tag, func(t *testing.T) {
			b := browser{t, tab}
			stories := storybook.Stories()
			if language.Tag != "en" {
				stories = longest(t, language.Tag)
			}
			for _, s := range stories {
				b.do(size(320, 1), chromedp.Navigate(pages.URL+storybook.Path+"/"+language.Tag+"/"+s.Name))
				b.fits(s.Name + " at 320")
				if language.Tag != "en" {
					continue
				}
				b.do(size(640, 2))
				b.fits(s.Name + " at 200 %")
				if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.documentElement.style.fontSize = "200%"`)); err != nil {
					t.Fatal(err)
				}
				b.do(size(390, 1))
				b.fits(s.Name + " with letters twice as large")
			}
		})
	}
}

// longest are, of each page, the story without more to it and the three that are longest in a language.
func longest(t *testing.T, language string) (all []storybook.Story) {
	t.Helper()
	pages, lengths := map[string][]storybook.Story{}, map[string]int{}
	for _, s := range storybook.Stories() {
		page, state, _ := strings.Cut(s.Name, "-")
		if lengths[s.Name] = get("GET", storybook.Path+"/"+language+"/"+s.Name).Body.Len(); state == "" {
			all = append(all, s)
			continue
		}
		pages[page] = append(pages[page], s)
	}
	for _, states := range pages {
		slices.SortFunc(states, func(a, b storybook.Story) int { return lengths[b.Name] - lengths[a.Name] })
		all = append(all, states[:min(len(states), 3)]...)
	}
	return all
}

// browser is one tab that looks at stories.
type browser struct {
	*testing.T
	ctx context.Context
}

func (b browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// size makes the window so wide, in pixels of the style sheet.
func size(width, scale int64) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: 740, DeviceScaleFactor: float64(scale)})
		return chromedp.Void{}, err
	}
}

// fits fails the test where something does not.
func (b browser) fits(what string) {
	b.Helper()
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](look))
	if err != nil {
		b.Fatal(err)
	}
	if len(found) > 0 {
		b.Errorf("%s: %s", what, strings.Join(found, "; "))
	}
}

// What there is much of is folded, counted and found by typing, and who is asked is told in short.
func TestWhatThereIsMuchOfIsFoundByTyping(t *testing.T) {
	pages := httptest.NewServer(storybook.Handler())
	defer pages.Close()
	b := browser{t, chromiumtest.Open(t)}
	sees := func(script, want string) {
		t.Helper()
		if got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script)); err != nil || got != want {
			t.Errorf("%s is %q, want %q; %v", script, got, want, err)
		}
	}
	const shown = `[...document.querySelectorAll("label.choice")].filter((e) => e.checkVisibility()).length + " shown; " +
		document.querySelector("[data-filtered]").textContent`
	types := func(text string) string {
		return `{ const f = document.getElementById("role-filter"); f.value = "` + text + `"; f.dispatchEvent(new Event("input")); } ` + shown
	}
	b.do(size(390, 1), chromedp.Navigate(pages.URL+storybook.Path+"/en/choose-many"))
	sees(shown, "24 shown; 101 to choose from.")
	sees(types("viewer97"), "1 shown; 1 of 101 shown.")
	sees(types(""), "24 shown; 101 to choose from.")
	b.do(chromedp.Navigate(pages.URL + storybook.Path + "/en/ask-many"))
	sees(`document.querySelector(".asks").textContent`, "Asks reviewer.of.many.aa@example.com, reviewer.of.many.ab@example.com, reviewer.of.many.ac@example.com, "+
		"reviewer.of.many.ad@example.com, reviewer.of.many.ae@example.com, and 45 others.")
}

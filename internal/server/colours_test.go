package server_test

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// luminance is the relative luminance of a colour #rrggbb
// (https://www.w3.org/TR/WCAG22/#dfn-relative-luminance).
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil || len(colour) != 7 {
		t.Fatalf("%q is no colour", colour)
	}
	sum := 0.0
	for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
		c := float64(n>>(8*i)&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// rule is a rule of the style sheet, with what surrounds it.
type rule struct{ media, selector, declarations string }

// rules are those of the style sheet, in its order.
func rules(t *testing.T) (found []rule) {
	t.Helper()
	css, err := os.ReadFile("../../web/assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(css), "")
	media := ""
	for _, part := range regexp.MustCompile(`([^{}]*)([{}])`).FindAllStringSubmatchIndex(text, -1) {
		said, opens := strings.TrimSpace(text[part[2]:part[3]]), text[part[4]] == '{'
		switch {
		case opens && strings.HasPrefix(said, "@media"):
			media = said
		case opens:
			found = append(found, rule{media: media, selector: said})
		case said == "" && media != "" && (len(found) == 0 || found[len(found)-1].declarations != ""):
			media = ""
		default:
			found[len(found)-1].declarations = said + ";"
		}
	}
	return found
}

// Text keeps 4.5:1 and edges of controls, and what a picture draws, 3:1, in both schemes; 7:1 and
// 4.5:1 for who asks for more contrast (WCAG 2.2, 1.4.3, 1.4.6 and 1.4.11). Nothing that is read
// fades from one scheme to the other.
func TestColoursAreLegibleInEveryScheme(t *testing.T) {
	grounds := []string{"page", "card", "sunk", "accent-soft"}
	notes := append([]string{"good-soft", "wait-soft", "bad-soft"}, grounds...) // notes have text of all kinds
	text := map[string][]string{"ink": notes, "quiet": grounds, "accent": {"page", "card", "accent-soft"}, "accent-ink": {"accent"},
		"good": {"page", "card", "good-soft"}, "wait": {"page", "card", "wait-soft", "accent-soft"}, "bad": {"page", "card", "bad-soft"}}
	edges := map[string][]string{"edge": {"page", "card"}, "good": {"card"}, "wait": {"card"}, "bad": {"card"}, "accent": {"page", "card"}}
	const dark, more = "(prefers-color-scheme: dark)", "(prefers-contrast: more)"
	for _, scheme := range []struct {
		name, has       string
		ofText, ofEdges float64
	}{{"light", "", 4.5, 3}, {"dark", dark, 4.5, 3}, {"light, more contrast", more, 7, 4.5}, {"dark, more contrast", dark + " and " + more, 7, 4.5}} {
		colours := map[string]string{}
		for _, r := range rules(t) {
			if r.selector != ":root" || r.media != "" && !slices.ContainsFunc([]string{scheme.has, dark, more}, func(m string) bool {
				return m != "" && r.media == "@media "+m && strings.Contains(scheme.has, m)
			}) {
				continue
			}
			for _, found := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(r.declarations, -1) {
				colours[found[1]] = found[2]
			}
		}
		check := func(pairs map[string][]string, least float64) {
			for front, backs := range pairs {
				for _, back := range backs {
					a, b := luminance(t, colours[front]), luminance(t, colours[back])
					if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
						t.Errorf("%s: %s on %s has %.2f, less than %.1f", scheme.name, front, back, ratio, least)
					}
				}
			}
		}
		check(text, scheme.ofText)
		check(edges, scheme.ofEdges)
	}
	for _, r := range rules(t) {
		if fading := regexp.MustCompile(`transition:[^;]*(background|color\b[^-]|all)`).FindString(strings.ReplaceAll(r.declarations, "border-color", "border")); fading != "" {
			t.Errorf("%s is unreadable half-way", fading)
		}
		if strings.Contains(r.declarations, "transition") && r.media != "@media (prefers-reduced-motion: no-preference)" || strings.Contains(r.declarations, "animation") {
			t.Errorf("%s moves for who asked for no motion", r.selector)
		}
	}
}

// Colours, spaces, sizes of type and radii have their names at the head of the style sheet; no rule
// has one of its own. Colours of the system are for who has colours of their own.
func TestRulesUseWhatHasAName(t *testing.T) {
	raw := regexp.MustCompile(`#[0-9a-f]{3,8}\b|\b(rgb|hsl|oklch|lab|color)a?\(|:[^;]*\b(white|black|red|green|blue|gr[ae]y|orange|yellow)\b`)
	system := regexp.MustCompile(`\b(Canvas|CanvasText|LinkText|GrayText|Highlight|HighlightText|ButtonText|ButtonFace|Mark)\b`)
	sized := regexp.MustCompile(`(?:^|[ ;])((?:margin|padding|gap|row-gap|column-gap|border-radius|font-size)(?:-[a-z-]+)?): ([^;]+);`)
	odd := regexp.MustCompile(`\d*\.?\d+(rem|px)\b`)
	known := map[string]bool{}
	var used strings.Builder
	for _, r := range rules(t) {
		used.WriteString(r.declarations)
		if r.selector == ":root" {
			for _, found := range regexp.MustCompile(`(--[a-z0-9-]+):`).FindAllStringSubmatch(r.declarations, -1) {
				known[found[1]] = true
			}
			continue
		}
		if found := raw.FindString(r.declarations); found != "" {
			t.Errorf("%s has the colour %s of its own", r.selector, found)
		}
		if found := system.FindString(r.declarations); found != "" && r.media != "@media (forced-colors: active)" {
			t.Errorf("%s has the system's %s where colours are ours", r.selector, found)
		}
		for _, found := range sized.FindAllStringSubmatch(r.declarations, -1) {
			if odd.MatchString(found[2]) && !strings.HasPrefix(r.selector, ".month text") && r.selector != "@page" {
				t.Errorf("%s has %s: %s of its own", r.selector, found[1], found[2])
			}
		}
	}
	for name := range known {
		if !strings.Contains(used.String(), "var("+name+")") {
			t.Errorf("%s is used nowhere", name)
		}
	}
	for _, found := range regexp.MustCompile(`var\((--[a-z0-9-]+)\)`).FindAllStringSubmatch(used.String(), -1) {
		if !known[found[1]] {
			t.Errorf("%s is named nowhere", found[1])
		}
	}
}

// Classes are for looks: each has a rule, or a script that looks for it; each rule has a page.
func TestClassesAndRulesAreForOneAnother(t *testing.T) {
	read := func(pattern string) string {
		var all strings.Builder
		files, err := filepath.Glob(pattern)
		if err != nil || files == nil {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
		return all.String()
	}
	templates, scripts := read("../../web/templates/*.html"), read("../../web/assets/*.js")
	ruled, classed := map[string]bool{}, map[string]bool{}
	for _, r := range rules(t) {
		for _, found := range regexp.MustCompile(`\.([a-z][a-z-]*)`).FindAllStringSubmatch(r.selector, -1) {
			ruled[found[1]] = true
		}
	}
	for _, found := range regexp.MustCompile(`class="([^"]*)"`).FindAllStringSubmatch(templates, -1) {
		for _, class := range strings.Fields(regexp.MustCompile(`\{\{[^}]*\}\}`).ReplaceAllString(found[1], " ")) {
			classed[class] = true
		}
	}
	for class := range classed {
		if !ruled[class] && !strings.Contains(scripts, "."+class) && !strings.Contains(scripts, `"`+class+`"`) {
			t.Errorf("class %s has no rule and no script", class)
		}
	}
	// What the server puts in: tones, and times.
	code := read("[a-z]*.go")
	for class := range ruled {
		quoted := regexp.MustCompile("[\"` .]" + class + "[\"` .)]")
		if !classed[class] && !quoted.MatchString(scripts) && !quoted.MatchString(templates) && !quoted.MatchString(code) {
			t.Errorf("no page has class %s", class)
		}
	}
}

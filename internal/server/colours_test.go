package server_test

import (
	"math"
	"os"
	"regexp"
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

// Text keeps 4.5:1 and edges of controls, and what a picture draws, 3:1, in both schemes
// (WCAG 2.2, 1.4.3 and 1.4.11). Nothing that is read fades from one scheme to the other.
func TestColoursAreLegibleInBothSchemes(t *testing.T) {
	css, err := os.ReadFile("../../web/assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, rest, _ := strings.Cut(string(css), "prefers-color-scheme: dark")
	dark, _, _ := strings.Cut(rest, "\n}\n")
	grounds := []string{"page", "card", "sunk"}
	pairs := map[string][]string{"ink": grounds, "quiet": grounds, "accent": {"page", "card", "accent-soft"}, "accent-ink": {"accent"},
		"good": {"page", "card", "good-soft"}, "wait": {"page", "card", "wait-soft"}, "bad": {"page", "card", "bad-soft"}}
	edges := map[string][]string{"edge": {"page", "card"}, "good": {"card"}, "bad": {"card"}, "accent": {"page", "card"}}
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, found := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(text, -1) {
			colours[found[1]] = found[2]
		}
		pairs["ink"] = append(pairs["ink"], "good-soft", "wait-soft", "bad-soft") // notes have text of all kinds
		check := func(pairs map[string][]string, least float64) {
			for front, backs := range pairs {
				for _, back := range backs {
					a, b := luminance(t, colours[front]), luminance(t, colours[back])
					if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
						t.Errorf("%s: %s on %s has %.2f, less than %.1f", scheme, front, back, ratio, least)
					}
				}
			}
		}
		check(pairs, 4.5)
		check(edges, 3)
	}
	if fading := regexp.MustCompile(`transition:[^;]*(background|color\b[^-]|all)`).FindString(strings.ReplaceAll(string(css), "border-color", "border")); fading != "" {
		t.Errorf("%s is unreadable half-way", fading)
	}
}

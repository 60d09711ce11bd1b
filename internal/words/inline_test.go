package words_test

import (
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/words"
)

// A text of others changes nothing around it, on a page and in a sentence.
func TestInLine(t *testing.T) {
	zalgo := "Z" + strings.Repeat("\u0301", 4)
	for text, want := range map[string]string{
		"a <b> & c":                   "a &lt;b&gt; &amp; c",
		"שלום <b>":                    "<bdi>שלום &lt;b&gt;</bdi>",
		"x " + zalgo + " y":           `x <span class="stacked">` + zalgo + " </span>y",
		access.Isolated("שלום") + ".": "<bdi>שלום</bdi>.",
		"say " + access.Isolated("שלום "+zalgo) + " now": `say <bdi>שלום <span class="stacked">` + zalgo + "</span></bdi> now",
		"cut \u2068שלום": "cut <bdi>שלום</bdi>", // a text that was clipped
	} {
		if got := string(words.InLine(text)); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
	if got := string(words.InLine("\u2069\u2069שלום")); strings.Count(got, "<bdi>") != strings.Count(got, "</bdi>") || !strings.HasSuffix(got, "</bdi>") {
		t.Errorf("not whole: %s", got)
	}
	// A name in a sentence turns nothing around, wherever the sentence is shown.
	refusal := words.English().Refusal(&access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible,
		Args: access.Args{"role": "שלום\u202e", "resource": "projects/shop"}}, "Google")
	if want := "You are not eligible for \u2068שלום[U+202E]\u2069 on shop."; refusal.Text != want {
		t.Errorf("%q", refusal.Text)
	}
	if got := words.English().Text("outcome.refused", "role", "שלום"); !strings.Contains(got, "\u2068שלום\u2069") {
		t.Errorf("%q", got)
	}
	if got := string(words.English().HTML("list.on", "resource", "שלום")); !strings.Contains(got, "<bdi>שלום</bdi>") {
		t.Error(got)
	}
}

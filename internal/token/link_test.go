package token_test

import (
	"fmt"
	"strings"
	"testing"

	"jitaccess/internal/jose"
	"jitaccess/internal/token"
)

func TestLinkFormIsThatOfJITAccess1(t *testing.T) {
	for jwt, link := range map[string]string{
		"eyABC.eyDE.FG":       "ABC~~DE~FG",
		"eyABC.eyDE.eyFG":     "ABC~~DE~~FG",
		"eyABC.DE.FG":         "ABC~DE~FG",
		"eyA.ey.ey":           "A~~~~",
		"eyA.ey.B":            "A~~~B",
		"eyA-_9.eyey-.ey_eye": "A-_9~~ey-~~_eye",
		"ey.ey.ey":            "~~~~",
	} {
		if got, err := token.EncodeLink(jwt); err != nil || got != link {
			t.Errorf("EncodeLink(%q) = %q, %v; want %q", jwt, got, err, link)
		}
		if got, err := token.DecodeLink(link); err != nil || got != jwt {
			t.Errorf("DecodeLink(%q) = %q, %v; want %q", link, got, err, jwt)
		}
	}
}

func TestOnlyTokensHaveALinkForm(t *testing.T) {
	for _, jwt := range []string{"", "ey", "eyA", "eyA.B", "eyA.B.C.D", "A.eyB.C", "EYA.B.C", "eyA..B", "eyA.B.", ".ey.", "ey A.B.C",
		"eyA.B.C=", "eyA.B~.C", "eyA.B.C\n", "eyA.B.ü", "ey" + strings.Repeat("A", jose.MaxToken) + ".B.C"} {
		if link, err := token.EncodeLink(jwt); err == nil {
			t.Errorf("EncodeLink(%q) = %q", jwt, link)
		}
	}
}

func TestLinkHasOneSpelling(t *testing.T) {
	for what, link := range map[string]string{
		"nothing":                     "",
		"one segment":                 "A",
		"two segments":                "A~B",
		"four segments":               "A~B~C~D",
		"four long segments":          "A~~B~~C~~D",
		"a raw token":                 "eyABC.eyDE.FG",
		"a raw token in part":         "ABC~~DE.FG",
		"a separator spelled out":     "ABC~eyDE~FG",
		"Base64 with padding":         "ABC~~DE~FG=",
		"the alphabet of files":       "AB+~~D/~FG",
		"an escape":                   "ABC%7E%7EDE%7EFG",
		"a line break":                "ABC~~DE~FG\n",
		"a space":                     " ABC~~DE~FG",
		"other letters":               "ABÇ~~DE~FG",
		"a NUL":                       "ABC~~DE~F\x00",
		"an empty middle":             "A~~~~~B",
		"more than a token may be":    "A~~B~" + strings.Repeat("C", jose.MaxToken),
		"a megabyte of dots":          strings.Repeat(".", 1<<20),
		"a megabyte of separators":    strings.Repeat("~", 1<<20),
		"8 KiB of separators":         strings.Repeat("~", jose.MaxToken),
		"an encoded token above size": "A~~B~" + strings.Repeat("C", jose.MaxToken-7),
	} {
		if jwt, err := token.DecodeLink(link); err == nil {
			t.Errorf("%s: DecodeLink = %.40q", what, jwt)
		}
	}
}

func TestThreat40_HugeLinksCostNothing(t *testing.T) {
	store := newStore(newClock())
	for _, link := range []string{strings.Repeat(".", 1<<20), strings.Repeat("~", 1<<20), strings.Repeat("A", 1<<20),
		strings.Repeat(".", jose.MaxToken), strings.Repeat("~", jose.MaxToken)} {
		if n := testing.AllocsPerRun(10, func() { token.DecodeLink(link) }); n != 0 {
			t.Errorf("DecodeLink of %.3q…: %v allocations", link, n)
		}
		// What Open adds is the error itself.
		if n := testing.AllocsPerRun(10, func() { open(store, link) }); n > 2 {
			t.Errorf("Open of %.3q…: %v allocations", link, n)
		}
	}
}

func FuzzLink(f *testing.F) {
	for _, s := range []string{"", "~", "~~", "A~~B~C", "eyABC.eyDE.FG", "ABC~~DE~FG", "A~eyB~C", "A~~~B", "~~~~", "eyA..B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if jwt, err := token.DecodeLink(s); err == nil {
			if again, err := token.EncodeLink(jwt); err != nil || again != s {
				t.Errorf("link %q is %q, whose link is %q, %v", s, jwt, again, err)
			}
		}
		if link, err := token.EncodeLink(s); err == nil {
			if strings.Contains(link, ".") {
				t.Errorf("link %q has a dot", link)
			}
			if again, err := token.DecodeLink(link); err != nil || again != s {
				t.Errorf("token %q has link %q, which is %q, %v", s, link, again, err)
			}
		}
	})
}

func ExampleEncodeLink() {
	link, _ := token.EncodeLink("eyABC.eyDE.FG")
	fmt.Println(link)
	// Output: ABC~~DE~FG
}

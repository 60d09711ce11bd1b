package access_test

import (
	"strings"
	"testing"

	"jitaccess/internal/access"
)

// TestLookAlikes: a name that is not what it looks like is found, and what people write in two
// scripts for good reasons is left alone.
func TestLookAlikes(t *testing.T) {
	for _, c := range []struct{ text, word, script string }{
		{"", "", ""},
		{"case 4711: acme-orders-prod", "", ""},
		{"for \u0430dmin@example.com, urgent", "\u0430dmin@example.com", "Cyrillic"},
		{"for admin@\u0430\u0440\u0440.example.com", "admin@\u0430\u0440\u0440.example.com", "Cyrillic"},
		{"for admin@ex.com (\u043e@ex.com)", "\u043e@ex.com", "Cyrillic"},
		{"on \u0430cme-orders-prod.", "\u0430cme-orders-prod", "Cyrillic"},
		{"on \u0430\u0441\u0443-orders-prod", "\u0430\u0441\u0443-orders-prod", "Cyrillic"}, // a whole part of it
		{"p\u0430ypal", "p\u0430ypal", "Cyrillic"},
		{"PR\u039fD is down", "PR\u039fD", "Greek"},
		{"C\u0431\u0435\u0440\u0431\u0430\u043d\u043a", "C\u0431\u0435\u0440\u0431\u0430\u043d\u043a", "Cyrillic"}, // the Latin one is the odd one
		{"a\u0301\u0430", "a\u0301\u0430", "Cyrillic"},                                                             // a mark between them parts nothing
		// What is written so for good reasons.
		{"кластер GKE не отвечает", "", ""},
		{"GKE-кластер и web-сервер", "", ""},
		{"10 μs, 5 Ωm, β-version, α-test", "", ""},
		{"сервер orders", "", ""},
		{"注文 orders-prod を見る", "", ""},
		{"naïve Ærøskøbing ﬁx", "", ""},
		{"о-ring", "", ""}, // one letter alone says too little
		{"\xff\xfe", "", ""},
		{strings.Repeat("a\u0300", 3000), "", ""},
	} {
		if word, script := access.LookAlike(c.text); word != c.word || script != c.script {
			t.Errorf("%q: %q, %q; want %q, %q", c.text, word, script, c.word, c.script)
		}
	}
}

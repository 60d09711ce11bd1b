package access_test

import (
	"testing"

	"jitaccess/internal/access"
)

// What is written from right to left is isolated, and nothing else is touched.
func TestIsolated(t *testing.T) {
	for text, isolated := range map[string]bool{
		"": false, "Compute Admin": false, "Störung №4711: サーバー 😀": false, "\u0301\u0489": false, "\u200f": false, // a mark alone has no letter, and is spelled out
		"שלום": true, "مدير 1": true, "a \U0001e900": true, "\ufb1d": true, "\u07ca": true, "\ufeff": false,
	} {
		want := text
		if isolated {
			want = "\u2068" + text + "\u2069"
		}
		if got := access.Isolated(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

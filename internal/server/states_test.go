package server

import (
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/words"
)

// Every state to which an event can lead is shown, in words, with a tone, and in the
// JSON interface.
func TestEveryStateIsShown(t *testing.T) {
	for _, row := range access.Transitions {
		if tones[row.To] == "" || apiStates[row.To] == "" || words.English.Message("state."+string(row.To)) == "" {
			t.Errorf("%q: tone %q, status %q, words %q", row.To, tones[row.To], apiStates[row.To], words.English.Message("state."+string(row.To)))
		}
	}
}

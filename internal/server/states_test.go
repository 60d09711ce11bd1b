package server

import (
	"slices"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/words"
)

// Every state to which an event can lead is shown, and every event, in words, with a tone, and in the
// JSON interface.
func TestEveryStateIsShown(t *testing.T) {
	for _, row := range access.Transitions {
		if !slices.Contains(access.States, row.To) {
			t.Errorf("%q cannot be searched for", row.To)
		}
		if eventWords[row.On].key == "" {
			t.Errorf("what happened is not told: %q", row.On)
		}
		if tones[row.To] == "" || apiStates[row.To] == "" || words.English().Message("state."+string(row.To)) == "" {
			t.Errorf("%q: tone %q, status %q, words %q", row.To, tones[row.To], apiStates[row.To], words.English().Message("state."+string(row.To)))
		}
	}
}

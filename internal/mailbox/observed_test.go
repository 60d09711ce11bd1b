package mailbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"jitaccess/internal/mailbox"
	"jitaccess/internal/outbound"
)

// Observers hear of connecting and of each look.
func TestMailboxesAreObserved(t *testing.T) {
	a := newAccount(t, options{})
	for _, test := range []struct {
		folder string
		port   int
		want   []string
	}{
		{"", 0, []string{"imap connect 200", "imap look 200"}},
		{"Canary", 0, []string{"imap connect 200", "imap look 0"}},
		{"", 1, []string{"imap connect 0"}},
	} {
		m := a.mailbox(func(mc *mailbox.Config) {
			mc.Folder = test.folder
			if test.port != 0 {
				mc.Port = test.port
			}
		})
		var heard []string
		_ = m.Look(outbound.WithObserver(t.Context(), func(_ context.Context, api, what string) func(int) {
			return func(status int) { heard = append(heard, fmt.Sprint(api, " ", what, " ", status)) }
		}))
		if !slices.Equal(heard, test.want) {
			t.Errorf("%+v: heard %q", test, heard)
		}
	}
}

package broker_test

import (
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// An extension was approved, and then an administrator ended what it extends, and it was called off.
// Of a database that was put back from before that, or of which somebody has cut off the end, the
// policy still says so.
func TestWhatWasEndedIsNotGoneOnWithAfterARollback(t *testing.T) {
	for what, c := range map[string]struct {
		kind access.RequestKind
		// end: it was ended. late: the extension was approved after that. again: who approved it says
		// yes once more before it begins.
		end, late, again bool
		want             access.State
	}{
		"ended, and approved by others":           {access.Peers, true, false, false, access.Ended},
		"ended, and activated alone":              {access.Self, true, false, false, access.Ended},
		"ended, and approved after that":          {access.Peers, true, true, false, access.Active},
		"ended, and approved before that again":   {access.Peers, true, false, true, access.Ended},
		"ended, and approved after that twice":    {access.Peers, true, true, true, access.Active},
		"not ended":                               {access.Peers, false, false, false, access.Active},
		"not ended, and approved again meanwhile": {access.Peers, false, false, true, access.Active},
	} {
		t.Run(what, func(t *testing.T) {
			w, instance, exec := withDatabase(t)
			b := w.Broker()
			swept(t, b)
			first := granted(t, w, b, c.kind)
			w.Clock = w.Clock.Add(10 * time.Minute)
			asked := mustAsk(t, b, more(t, w, first.ID, c.kind))
			end := func() {
				w.Clock = w.Clock.Add(time.Minute)
				if _, err := w.Broker().End(t.Context(), caller(dan), shop, first.ID, ana); err != nil {
					t.Fatal(err)
				}
				w.Clock = w.Clock.Add(time.Minute)
			}
			if c.late {
				end()
			}
			if c.kind == access.Peers {
				if _, err := approve(t, b, ben, asked.Ref); err != nil {
					t.Fatal(err)
				}
			}
			for _, table := range []string{"requests", "events", "parts", "reviewers"} {
				exec("CREATE TABLE saved_" + table + " AS SELECT * FROM " + table)
			}
			if got := state(t, instance(), asked.Request.ID); got != access.Scheduled {
				t.Fatalf("it is %q", got)
			}
			if c.end && !c.late {
				end()
			}
			for _, table := range []string{"requests", "events", "parts", "reviewers"} {
				exec("DELETE FROM " + table)
				exec("INSERT INTO " + table + " SELECT * FROM saved_" + table)
			}
			store := instance()
			w.Clock = first.Window.End.Add(-5 * time.Minute)
			w.Told = nil
			if c.again {
				_, err := approve(t, w.Broker(), ben, asked.Ref)
				if gone := err != nil && access.AsError(err).Code == access.CodeAlreadyEnded; gone != (c.want == access.Ended) {
					t.Errorf("said yes again: %v", err)
				}
			}
			for range 2 {
				if _, err := w.Broker().Sweep(t.Context(), broker.SweepCount); err != nil {
					t.Fatal(err)
				}
			}
			if got := state(t, store, asked.Request.ID); got != c.want || (len(windowsOf(w, asked.Request.ID)) > 0) != (c.want == access.Active) {
				t.Errorf("it is %q, want %q: %+v", got, c.want, windowsOf(w, asked.Request.ID))
			}
			// Its holder hears of it once, and nobody is said to have done it.
			told := slices.DeleteFunc(w.Told, func(n access.Notice) bool { return n.Kind != access.NoticeEnded })
			if want := c.want == access.Ended; (len(told) == 1) != want || want && (told[0].By != "" || !slices.Equal(told[0].To, []access.Principal{ana})) {
				t.Errorf("told %+v", told)
			}
		})
	}
}

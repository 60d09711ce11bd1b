package access_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
)

// What was approved, or stands, is the window; an ending and a failure bring none.
func TestOnlyApprovalsAndGrantsSetTheWindow(t *testing.T) {
	r := request()
	for _, events := range []string{":self", ":made ben:completes", ":self :granted"} {
		for _, word := range []string{":ends", ":endfails", ":delayed", ":failed", ":ended"} {
			was, _, err := fold(r, events)
			if err != nil {
				t.Fatal(err)
			}
			e := event(r, word)
			e.Window = access.Window{Start: r.Created, End: r.Created.AddDate(1, 0, 0)}
			if next, err := was.Apply(e); err != nil || next.Window != was.Window || next.Window.IsZero() {
				t.Errorf("%s, %s: %v, was %v, %v", events, word, next.Window, was.Window, err)
			}
		}
	}
	was, _, _ := fold(r, ":self")
	for what, w := range map[string]access.Window{ // what stands there says nothing of what was approved
		"later":  {Start: was.Window.Start.Add(time.Minute), End: was.Window.End.Add(time.Second)},
		"longer": {Start: was.Window.Start.Add(-time.Second), End: was.Window.End},
	} {
		e := event(r, ":granted")
		e.Window = w
		if next, err := was.Apply(e); err != nil || next.Window != was.Window {
			t.Errorf("%s than was approved: %v, %v", what, next.Window, err)
		}
	}
	// As long, and sooner: an earlier write of one that was to begin at once, and else nobody's.
	for start, want := range map[time.Time]time.Duration{{}: -time.Minute, was.Window.Start: 0} {
		e := event(r, ":granted")
		e.Window = access.Window{Start: was.Window.Start.Add(-time.Minute), End: was.Window.End.Add(-time.Minute)}
		scheduled := was
		scheduled.Start = start
		if next, err := scheduled.Apply(e); err != nil || next.Window.Start.Sub(was.Window.Start) != want {
			t.Errorf("to begin at %v, as long and sooner: %v, %v", start, next.Window, err)
		}
	}
	granted := event(r, ":granted")
	granted.Window.Start = granted.Window.Start.Add(time.Second)
	if next, err := was.Apply(granted); err != nil || next.Window != granted.Window {
		t.Errorf("%v, %v", next.Window, err)
	}
}

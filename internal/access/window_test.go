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
	granted := event(r, ":granted")
	granted.Window.Start = granted.Window.Start.Add(time.Second)
	was, _, _ := fold(r, ":self")
	if next, err := was.Apply(granted); err != nil || next.Window != granted.Window {
		t.Errorf("%v, %v", next.Window, err)
	}
}

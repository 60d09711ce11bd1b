package broker_test

import (
	"testing"

	"jitaccess/internal/access"
)

func TestWhatIsUnsureAtTheMomentOfEffectIsToldAndRecorded(t *testing.T) {
	w := newWorld(t)
	unsure := &access.Error{Kind: access.Upstream, Code: access.CodeInventoryOnly, Args: access.Args{"resource": "folders/1"}}
	w.BeforeGrant = func() {
		w.Mu.Lock()
		defer w.Mu.Unlock()
		w.Warnings = []*access.Error{unsure}
	}
	for range 2 { // the second time the first look knows it already
		a := selfAsk()
		a.Form = ""
		asked, err := w.Broker().Ask(t.Context(), caller(ana), a)
		if err != nil || len(asked.Warnings) != 1 || asked.Warnings[0] != unsure {
			t.Errorf("%v, %v", asked.Warnings, err)
		}
		if last := w.Journal[len(w.Journal)-1]; last.Action != access.GrantWritten || len(last.Warnings) != 1 {
			t.Errorf("journal: %+v", last)
		}
	}
}

package broker_test

import (
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// requested is a world with a pending request of ana's, and the link to it.
func requested(t *testing.T) (*world, *broker.Broker, broker.Asked) {
	w := newWorld(t)
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Forget()
	return w, b, asked
}

func TestApprovalGrantsAndTells(t *testing.T) {
	w, b, asked := requested(t)
	w.Clock = w.Clock.Add(20 * time.Minute)
	view, err := b.Show(t.Context(), caller(ben), asked.Ref, "https://jit.example.com")
	if err != nil || !view.CanDecide || view.State != access.Pending || view.Digest != asked.Request.Digest() {
		t.Fatalf("%+v, %v", view, err)
	}
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Digest: view.Digest, Origin: "https://jit.example.com"})
	if err != nil || decided.State != access.Active {
		t.Fatalf("%+v, %v", decided, err)
	}
	start := w.Clock.Truncate(time.Second)
	if got := w.Activations[0]; got.Window != (access.Window{Start: start, End: start.Add(time.Hour)}) || got.Approvers[0] != ben || got.RequestID != asked.Request.ID {
		t.Errorf("granted %+v; the clock starts when the approval is accepted", got)
	}
	if got, want := w.Actions(), "approved, granted"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	if n := w.Told[0]; n.Kind != access.NoticeApproved || n.To[0] != ana || len(n.CC) != 2 || n.Window != decided.Window {
		t.Errorf("told %+v", n)
	}
	if w.Calls["standing"] != 2 || w.Calls["grant"] != 1 {
		t.Errorf("calls %v: one look for the view, one for the decision", w.Calls)
	}
}

func TestDecideIsRefused(t *testing.T) {
	yes := broker.Decide{Verdict: access.Approve}
	no := broker.Decide{Verdict: access.Deny, Comment: "not now"}
	tests := []struct {
		rule   string
		as     access.Principal
		decide broker.Decide
		change func(*world)
		kind   access.Kind
		code   access.Code
	}{
		{"one's own request", ana, yes, nil, access.NotAllowed, access.CodeOwnRequest},
		{"somebody who was not asked, though eligible", dan, yes, func(w *world) { w.Holdings[dan] = w.Holdings[ben] }, access.NotAllowed, access.CodeNotInvolved},
		{"Threat06: a reviewer who lost eligibility", ben, yes, func(w *world) { w.Holdings[ben] = nil }, access.NotAllowed, access.CodeReviewerLost},
		{"a reviewer who lost eligibility, denying", ben, no, func(w *world) { w.Holdings[ben] = nil }, access.NotAllowed, access.CodeReviewerLost},
		{"Threat06: a requester who lost eligibility", ben, yes, func(w *world) { w.Holdings[ana] = nil }, access.NotAllowed, access.CodeRequesterLost},
		{"what was shown is not what would be granted", ben, broker.Decide{Verdict: access.Approve, Digest: "00"}, nil, access.Conflict, access.CodeDigestMismatch},
		{"no verdict", ben, broker.Decide{}, nil, access.Invalid, access.CodeBadInput},
		{"a denial without a reason", ben, broker.Decide{Verdict: access.Deny, Comment: " "}, nil, access.Invalid, access.CodeNoComment},
		{"a comment with line breaks", ben, broker.Decide{Verdict: access.Deny, Comment: "a\r\nBcc: x"}, nil, access.Invalid, access.CodeUnsafeComment},
		{"after its time", ben, yes, func(w *world) { w.Clock = w.Clock.Add(61 * time.Minute) }, access.Gone, access.CodeLinkExpired},
		{"the platform cannot be asked", ben, yes, func(w *world) { w.CatalogErr = &access.Error{Kind: access.TooMany, Code: access.CodeQuota} }, access.TooMany, access.CodeQuota},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			w, b, asked := requested(t)
			if test.change != nil {
				test.change(w)
			}
			test.decide.Ref = asked.Ref
			_, err := b.Decide(t.Context(), caller(test.as), test.decide)
			is(t, err, test.kind, test.code)
			if len(w.Activations) != 0 || len(w.Told) != 0 || w.Actions() != "refused" {
				t.Errorf("granted %v, told %v, journal %q; want nothing but the refusal", w.Activations, w.Told, w.Actions())
			}
		})
	}
	t.Run("a link that points to nothing", func(t *testing.T) {
		_, b, _ := requested(t)
		_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: "x", Verdict: access.Approve})
		is(t, err, access.NotFound, access.CodeBadLink)
	})
}

func TestAFormThatIsSentAgainAfterTheEndRevivesNothing(t *testing.T) {
	w := newWorld(t)
	b := w.Broker()
	a := selfAsk()
	a.Form, _ = b.NewForm(caller(ana), access.Self)
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.End(t.Context(), caller(ana), shop, asked.Request.ID, ""); err != nil {
		t.Fatal(err)
	}
	_, err = b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Gone, access.CodeAlreadyEnded)
}

func TestADenialThatIsSentAgainTellsNobodyAgain(t *testing.T) {
	w, b, asked := requested(t)
	for range 3 {
		decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "no"})
		if err != nil || decided.Decision.Verdict != access.Deny {
			t.Fatalf("%+v, %v", decided, err)
		}
	}
	if len(w.Told) != 1 {
		t.Errorf("told %d times", len(w.Told))
	}
	// Another reason is something else that was said, and its page says who was told.
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "use staging"})
	if err != nil || decided.Decision.Comment != "use staging" || len(w.Told) != 2 {
		t.Errorf("%+v, %v, told %d times", decided, err, len(w.Told))
	}
}

func TestEligibilityIsCheckedOnThePolicyThatIsWritten(t *testing.T) {
	w, b, asked := requested(t)
	w.BeforeGrant = func() { w.Mu.Lock(); w.Holdings[ana] = nil; w.Mu.Unlock() }
	_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.NotAllowed, access.CodeRequesterLost)
	if len(w.Activations) != 0 {
		t.Errorf("granted %v to somebody who lost eligibility in between", w.Activations)
	}
}

func TestParallelApprovalsMakeOneGrant(t *testing.T) {
	w, b, asked := requested(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			p := []access.Principal{ben, cho}[i%2]
			_, err := b.Decide(t.Context(), caller(p), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			if err != nil && access.AsError(err).Code != access.CodeAlreadyApproved {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(w.Activations) != 1 || len(w.Told) != 1 {
		t.Errorf("%d grants, told %d times; want one of each", len(w.Activations), len(w.Told))
	}
}

func TestDenialTellsEverybody(t *testing.T) {
	for _, forgets := range []bool{true, false} {
		w := newWorld(t)
		w.Forgets = forgets
		b := w.Broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "not during the freeze"})
		if err != nil || decided.Forgets != forgets {
			t.Fatalf("%+v, %v", decided, err)
		}
		n := w.Told[1]
		if n.Kind != access.NoticeDenied || n.Final == forgets || n.To[0] != ana || len(n.CC) != 2 || n.Decision.Comment != "not during the freeze" {
			t.Errorf("told %+v", n)
		}
		_, err = b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		if forgets {
			if err != nil || decided.State != access.Pending {
				t.Errorf("%v, %v: without memory a denial is only a declining", decided.State, err)
			}
		} else {
			is(t, err, access.Conflict, access.CodeAlreadyDenied)
		}
	}
}

func TestARequestOfJITAccess1KeepsItsOwnWindow(t *testing.T) {
	w, b, asked := requested(t)
	r := asked.Request
	r.Fixed = access.Window{Start: w.Clock.Add(-30 * time.Minute).Truncate(time.Second), End: w.Clock.Add(30 * time.Minute).Truncate(time.Second)}
	w.Requests[asked.Ref] = r
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.Window != r.Fixed {
		t.Errorf("%v, %v; want %v", decided.Window, err, r.Fixed)
	}
	w.Activations = nil
	w.Clock = r.Fixed.End
	_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.Gone, access.CodeWindowOver)
}

package mail_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

// What was tried lately: those who were told, and for each reason those who were not.
func TestTheLastMailsAreRemembered(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{
		string(chen): {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"},
	}}))
	c := config(s.Host, s.Port, s.Roots)
	clock := now
	c.Now = func() time.Time { clock = clock.Add(time.Second); return clock }
	m := mailer(t, c)
	if got := m.Recent(); len(got) != 0 {
		t.Errorf("remembers %v from before", got)
	}
	m.Notify(t.Context(), review())
	if err := m.Probe(t.Context(), ana, func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	if err := m.Probe(t.Context(), "", func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	if m.Probe(t.Context(), chen, func(string, string) {}) == nil {
		t.Fatal("chen was told")
	}
	self := approved()
	self.Kind = access.NoticeSelfApproved
	m.Notify(t.Context(), self)

	var got []string
	for _, a := range m.Recent() {
		var f *mail.Fault
		if a.Failure != nil && (!errors.As(a.Failure.Err, &f) || a.Failure.Meaning != f.Meaning || a.Failure.Remedy != f.Remedy) {
			t.Errorf("%v is not explained", a.Failure)
		}
		if a.Took <= 0 {
			t.Errorf("took %s", a.Took)
		}
		got = append(got, fmt.Sprint(a.Kind, a.To, a.Failure == nil))
	}
	want := []string{"test[chen@example.com] false", "test[ana@example.com] true", "review[boris@example.com ana@example.com] true", "review[chen@example.com] false"}
	if !slices.Equal(got, want) {
		t.Errorf("remembers %q, want %q", got, want)
	}
}

// Threat 40: what is remembered is bounded, however much is sent at once, and
// failures do not push out what went well.
func TestThreat40_OnlyTheLastMailsAreRemembered(t *testing.T) {
	good := smtptest.Start(t, withUser(smtptest.Options{}))
	m := mailer(t, config(good.Host, good.Port, good.Roots))
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 10 {
				m.Notify(t.Context(), review())
				n := review()
				n.To, n.CC = []access.Principal{"robot@x.iam.gserviceaccount.com"}, nil
				m.Notify(t.Context(), n)
				m.Recent()
			}
		})
	}
	all.Wait()
	well := 0
	recent := m.Recent()
	for _, a := range recent {
		if a.Failure == nil {
			well++
		}
	}
	if len(recent) != 40 || well != 20 {
		t.Errorf("remembers %d, %d of them good; want 40 and 20", len(recent), well)
	}
}

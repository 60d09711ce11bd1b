package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"jitaccess/internal/access"
)

// MailAccount is the account from which people are told by mail, as administrators
// see it. Nothing that it returns is a secret.
type MailAccount interface {
	// Settings are what is configured, in the order in which to show it; none when
	// there is no account.
	Settings() []MailSetting
	// Recent are the last mails of this instance, the newest first.
	Recent() []MailAttempt
	// Test sends a test message within ctx and returns its steps; only the last may
	// have failed.
	Test(ctx context.Context, to access.Principal) []MailStep
}

// MailSetting is a setting of the account; Variables say where it comes from.
type MailSetting struct{ Name, Value, Variables string }

// MailStep is a step of a test message.
type MailStep struct {
	Name, Text string
	// Failure is nil for a step that was taken.
	Failure *MailFailure
}

// MailAttempt is what became of a mail for some of those to whom it was sent.
type MailAttempt struct {
	At   time.Time
	Took time.Duration
	// What is what they were told, in words.
	What string
	To   []string
	// Failure is nil when the mail server took it.
	Failure *MailFailure
}

// MailFailure is why something could not be sent: where it went wrong and what was
// said there, what that means, and what puts it right. Err is for the log.
type MailFailure struct {
	What, Meaning, Remedy string
	Err                   error
}

// testTime bounds a test message, so that the page with its steps is still sent.
const testTime = 20 * time.Second

// mailView is the page of the mail account.
type mailView struct {
	Frame
	Settings []MailSetting
	Recent   []mailAttemptView
	// Tested is whether a message was sent just now; Steps are its steps and Well is
	// whether all were taken.
	Tested, Well bool
	Steps        []MailStep
}

type mailAttemptView struct {
	MailAttempt
	When Moment
	// Lasted is how long it took; empty when that was no time to speak of.
	Lasted string
}

// mailAccount shows the account to administrators. It connects to nothing.
func (s *server) mailAccount(r *http.Request) (page, error) {
	if err := s.Broker.Admin(r.Context(), callerOf(r)); err != nil {
		return page{}, err
	}
	return page{template: "mail", status: http.StatusOK, data: s.viewMailAccount(r)}, nil
}

func (s *server) viewMailAccount(r *http.Request) mailView {
	v := mailView{Frame: s.frame(r, "mail.title")}
	if s.MailAccount == nil {
		return v
	}
	v.Settings = s.MailAccount.Settings()
	for _, a := range s.MailAccount.Recent() {
		lasted := ""
		if took := a.Took.Round(100 * time.Millisecond); took > 0 {
			lasted = took.String()
		}
		v.Recent = append(v.Recent, mailAttemptView{a, s.moment(r, a.At), lasted})
	}
	return v
}

// testMail sends a test message to the administrator who asks for it, and shows each
// step. What went wrong is no refusal: finding that out is what was asked for.
func (s *server) testMail(r *http.Request) (page, error) {
	caller := callerOf(r)
	if err := s.Broker.Admin(r.Context(), caller); err != nil {
		return page{}, err
	}
	if _, err := form(r); err != nil {
		return page{}, err
	}
	if s.MailAccount == nil || len(s.MailAccount.Settings()) == 0 {
		return redirect("/mail"), nil
	}
	if !s.tests.allow(caller.Principal, s.Now()) {
		return page{}, &access.Error{Kind: access.TooMany, Code: access.CodeTooFast}
	}
	ctx, cancel := context.WithTimeout(r.Context(), testTime)
	defer cancel()
	steps := s.MailAccount.Test(ctx, caller.Principal)
	well := true
	for _, step := range steps {
		if f := step.Failure; f != nil {
			well = false
			s.logEvent(r, slog.LevelWarn, eventTestMail, "a test message could not be sent", slog.Any("error", f.Err))
		}
	}
	if well {
		s.logEvent(r, slog.LevelInfo, eventTestMail, "a test message was sent")
	}
	v := s.viewMailAccount(r)
	v.Tested, v.Well, v.Steps = true, well, steps
	return page{template: "mail", status: http.StatusOK, data: v}, nil
}

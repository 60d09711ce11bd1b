package server

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/events"
	"jitaccess/internal/notice"
)

// Account is what people are told with by one channel, as administrators see it. Nothing
// that it returns is a secret.
type Account interface {
	// Name is that of its channel (access.Channel.Name), for which there are words
	// (notifications.channel.NAME and the like).
	Name() string
	// Settings are what is configured, in the order in which to show it; none when
	// there is no account.
	Settings() []notice.Setting
	// Recent are the last messages of this instance, the newest first.
	Recent() []notice.Attempt
	// Test sends a test message within ctx and returns its steps; only the last may
	// have failed.
	Test(ctx context.Context, to access.Principal) []notice.Step
}

// testTime bounds a test message, so that the page with its steps is still sent.
const testTime = 20 * time.Second

const notificationsPath = "/notifications"

// notificationsView is the page of all accounts.
type notificationsView struct {
	Frame
	Accounts []accountView
}

type accountView struct {
	Name, Title string
	Settings    []notice.Setting
	Recent      []attemptView
	// Hint says what a test message is, Accepted what it means that the channel took
	// one, and Unset how to set the account up.
	Hint, Accepted, Unset template.HTML
	// Tested is whether a message was sent just now; Steps are its steps and Well is
	// whether all were taken.
	Tested, Well bool
	// Took says that it was, and Look where it should be.
	Took, Look template.HTML
	Steps      []notice.Step
}

type attemptView struct {
	notice.Attempt
	// What is what they were told, in words.
	What string
	When *Moment
	// Lasted is how long it took; empty when that was no time to speak of.
	Lasted string
}

// notifications shows the accounts to administrators. It connects to nothing.
func (s *server) notifications(r *http.Request) (page, error) {
	if err := s.Broker.Admin(r.Context(), callerOf(r)); err != nil {
		return page{}, err
	}
	return s.notificationsPage(r, "", nil), nil
}

// notificationsPage is the page after a test of the account of that name with these steps.
func (s *server) notificationsPage(r *http.Request, tested string, steps []notice.Step) page {
	v := notificationsView{Frame: s.frame(r, "notifications.title")}
	for _, account := range s.Accounts {
		a := s.viewAccount(r, account)
		if a.Tested = a.Name == tested; a.Tested {
			a.Steps = steps
			a.Well = !slices.ContainsFunc(steps, func(step notice.Step) bool { return step.Failure != nil })
		}
		v.Accounts = append(v.Accounts, a)
	}
	return page{template: "notifications", status: http.StatusOK, data: v}
}

func (s *server) viewAccount(r *http.Request, account Account) accountView {
	l, name, who := s.languageOf(r), account.Name(), callerOf(r).Principal
	v := accountView{
		Name: name, Title: l.Text("notifications.channel." + name), Settings: account.Settings(),
		Hint: l.HTML("notifications.hint."+name, "who", who), Accepted: l.HTML("notifications.accepted." + name),
		Unset: l.HTML("notifications.unset." + name), Took: l.HTML("notifications.took." + name),
		Look: l.HTML("notifications.look."+name, "who", who),
	}
	for _, a := range account.Recent() {
		lasted := ""
		if took := a.Took.Round(100 * time.Millisecond); took > 0 {
			lasted = took.String()
		}
		v.Recent = append(v.Recent, attemptView{a, l.Text("notifications.kind." + string(a.Kind)), s.moment(r, a.At), lasted})
	}
	return v
}

// testAccount sends a test message to the administrator who asks for it, and shows each
// step. What went wrong is no refusal: finding that out is what was asked for.
func (s *server) testAccount(r *http.Request) (page, error) {
	caller := callerOf(r)
	if err := s.Broker.Admin(r.Context(), caller); err != nil {
		return page{}, err
	}
	fields, err := form(r)
	if err != nil {
		return page{}, err
	}
	at := slices.IndexFunc(s.Accounts, func(a Account) bool { return a.Name() == fields.Get("channel") && len(a.Settings()) > 0 })
	if at < 0 {
		return redirect(notificationsPath), nil
	}
	if !s.tests.allow(caller.Principal, s.Now()) {
		return page{}, &access.Error{Kind: access.TooMany, Code: access.CodeTooFast}
	}
	ctx, cancel := context.WithTimeout(r.Context(), testTime)
	defer cancel()
	account := s.Accounts[at]
	steps := account.Test(ctx, caller.Principal)
	channel, well := slog.String("channel", account.Name()), true
	for _, step := range steps {
		if f := step.Failure; f != nil {
			well = false
			s.logEvent(r, slog.LevelWarn, events.TestMail, "a test message could not be sent", channel, slog.Any("error", f.Err))
		}
	}
	if well {
		s.logEvent(r, slog.LevelInfo, events.TestMail, "a test message was sent", channel)
	}
	return s.notificationsPage(r, account.Name(), steps), nil
}

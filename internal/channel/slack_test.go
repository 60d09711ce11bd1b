package channel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/channel/slack"
	"jitaccess/internal/notice"
	"jitaccess/internal/sandbox/chat"
)

// titles are what people see where, as PLACE: TITLE, sorted.
func (w *world) titles() string {
	var all []string
	for _, m := range w.Messages() {
		title := m.Place + ": " + m.Title
		if m.Thread != "" && m.Service == "Slack" {
			title += " (in the thread)"
		}
		all = append(all, title)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// tell tells, and returns the notice that comes next as the core would: with receipts.
func tell(t *testing.T, c notice.Notifier, n access.Notice, earlier access.Receipts) access.Receipts {
	t.Helper()
	n.Earlier = earlier
	receipts := c.Notify(within(t), n)
	for _, r := range receipts {
		known := func(e access.Receipt) bool { return e.Ref == r.Ref }
		if r.Err == nil && r.Ref != "" && !slices.ContainsFunc(earlier, known) {
			earlier = append(earlier, access.Receipt{Channel: r.Channel, Ref: r.Ref})
		}
	}
	return earlier
}

// What was sent changes with what becomes of the request, for all who have it; a reminder is an
// answer to it, and nothing is sent twice.
func TestSlackChangesWhatItSent(t *testing.T) {
	n := asked(ben, carl)
	for name, test := range map[string]struct {
		then []access.Notice
		want string
	}{
		"approved": {[]access.Notice{after(n, access.RequestApproved, access.NoticeApproved)},
			"#access: Access approved; ana@example.com: Access approved; ben@example.com: Access approved; carl@example.com: Access approved"},
		"one of several, then denied": {[]access.Notice{after(n, access.RequestApproved, access.NoticeHappened), after(n, access.RequestDenied, access.NoticeDenied)},
			"#access: Request denied; ana@example.com: Request denied; ben@example.com: Request denied; carl@example.com: Request denied"},
		"lapsed": {[]access.Notice{after(n, access.RequestLapsed, access.NoticeHappened)},
			"#access: Request lapsed; ben@example.com: Request lapsed; carl@example.com: Request lapsed"},
		"withdrawn": {[]access.Notice{after(n, access.RequestWithdrawn, access.NoticeWithdrawn)},
			"#access: Request withdrawn; ben@example.com: Request withdrawn; carl@example.com: Request withdrawn"},
		"approved, and ended": {[]access.Notice{after(n, access.RequestApproved, access.NoticeApproved), after(n, access.GrantEnded, access.NoticeEnded)},
			"#access: Access ended early; ana@example.com: Access ended early; ben@example.com: Access ended early; carl@example.com: Access ended early"},
		"approved, and over": {[]access.Notice{after(n, access.RequestApproved, access.NoticeApproved), after(n, access.GrantExpired, access.NoticeHappened)},
			"#access: Access is over; ana@example.com: Access is over; ben@example.com: Access is over; carl@example.com: Access is over"},
		"reminded": {[]access.Notice{after(n, access.Reminded, access.NoticeReminder)},
			"#access: A request waits for a decision (in the thread); #access: Request for access; ben@example.com: A request still waits for you (in the thread); " +
				"ben@example.com: Request for access; carl@example.com: A request still waits for you (in the thread); carl@example.com: Request for access"},
		"a mail about it came back": {[]access.Notice{after(n, access.MailBounced, access.NoticeBounced)},
			"#access: Request for access; ana@example.com: A mail came back; " +
				"ben@example.com: Request for access; carl@example.com: Request for access"},
		"told again": {[]access.Notice{n}, "#access: Request for access; ben@example.com: Request for access; carl@example.com: Request for access"},
	} {
		w := newWorld(t)
		c := w.slack()
		told := tell(t, c, n, nil)
		for _, next := range test.then {
			told = tell(t, c, next, told)
		}
		if got := w.titles(); got != test.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, test.want)
		}
	}
}

// A message that somebody deleted is told anew to whom it must be told, and to nobody else.
func TestSlackTellsAnewWhatWasDeleted(t *testing.T) {
	w := newWorld(t)
	c := w.slack()
	told := tell(t, c, asked(ben, carl), nil)
	for _, m := range w.Messages() {
		w.Delete("Slack", m.Name)
	}
	tell(t, c, after(asked(ben, carl), access.RequestApproved, access.NoticeApproved), told)
	if got, want := w.titles(), "#access: Access approved; ana@example.com: Access approved"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, a := range c.Recent() {
		if a.Failure != nil {
			t.Errorf("%+v", a)
		}
	}
}

// Whoever is not in Slack is named where others are told; where there is no such place, they could
// not be told.
func TestSlackNamesWhomItDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	receipts := w.slack().Notify(within(t), asked(ben, dora))
	if len(receipts.Failed()) != 0 {
		t.Errorf("%v", receipts.Failed())
	}
	for _, m := range w.Messages() {
		if named := strings.Contains(strings.Join(m.Lines, "\n"), "Not found in Slack, and so told here: dora@example.com."); named != (m.Place == "#access") {
			t.Errorf("%s: %q", m.Place, m.Lines)
		}
	}
	w.place = ""
	failed := w.slack().Notify(within(t), asked(ben, dora)).Failed()
	if len(failed) != 1 || failed[0].To != dora || channel.CodeOf(failed[0].Err) != "users_not_found" {
		t.Errorf("%v", failed)
	}
	w.place = "#nowhere"
	failed = w.slack().Notify(within(t), asked(ben, dora)).Failed()
	if len(failed) != 2 || failed[0].To != dora || failed[1].To != "" || channel.CodeOf(failed[1].Err) != "channel_not_found" {
		t.Errorf("where nobody reads it: %v", failed)
	}
}

// Who is left is told, and those who were told before are not, but that their message is the same.
func TestSlackTellsWhoIsLeft(t *testing.T) {
	for _, test := range []struct {
		left []access.Target
		want string
	}{
		{[]access.Target{{Channel: "slack", To: carl}}, "carl@example.com: Request for access"},
		{[]access.Target{{Channel: "slack"}}, "#access: Request for access"},
		{[]access.Target{{Channel: "slack"}, {Channel: "slack", To: ben}}, "#access: Request for access; ben@example.com: Request for access"},
		{[]access.Target{{Channel: "mail", To: ben}}, ""},
	} {
		w := newWorld(t)
		n := asked(ben, carl)
		n.Left = test.left
		notice.Channels{w.slack()}.Notify(within(t), n)
		if got := w.titles(); got != test.want {
			t.Errorf("%v: %s, want %s", test.left, got, test.want)
		}
	}
}

// A rule's notify names channels besides, or alone.
func TestSlackTellsInTheChannelsOfTheRule(t *testing.T) {
	for _, test := range []struct {
		notify []string
		only   bool
		want   string
	}{
		{[]string{"slack:#ops"}, false, "#access; #ops; ben@example.com"},
		{[]string{"slack:#ops", "slack:#access", "slack:C00000002"}, false, "#access; #ops; #ops; ben@example.com"},
		{[]string{"slack:#ops"}, true, "#ops"},
		{[]string{"slack:#ops", "slack"}, true, "#access; #ops; ben@example.com"},
		{[]string{"slack"}, true, "#access; ben@example.com"},
		{[]string{"mail"}, true, ""},
	} {
		w := newWorld(t)
		n := asked(ben)
		n.Request.Terms.Notify, n.Request.Terms.NotifyOnly = test.notify, test.only
		notice.Channels{w.slack()}.Notify(within(t), n)
		if got := strings.ReplaceAll(w.titles(), ": Request for access", ""); got != test.want {
			t.Errorf("%v, only %t: %s, want %s", test.notify, test.only, got, test.want)
		}
	}
}

// Too many, in the middle of an update: it waits as it is told, and all are changed; or what was
// not is left for later, and then none is sent anew.
func TestSlackIsToldThatItIsTooMuchInTheMiddleOfAnUpdate(t *testing.T) {
	for _, test := range []struct {
		wait string
		left int
	}{{"3", 0}, {"600", 1}} {
		w := newWorld(t)
		c := w.slack()
		told := tell(t, c, asked(ben, carl), nil)
		w.Fail("/api/chat.update", chat.Fault{Status: 429, Header: map[string]string{"Retry-After": test.wait}, Body: `{"ok":false,"error":"ratelimited"}`})
		approved := after(asked(ben, carl), access.RequestApproved, access.NoticeApproved)
		approved.Earlier = told
		receipts := c.Notify(within(t), approved)
		if (len(receipts.Failed()) > 0) != (test.left > 0) {
			t.Errorf("%s: %v", test.wait, receipts.Failed())
		}
		for _, r := range receipts.Failed() {
			if channel.CodeOf(r.Err) != channel.TooMany {
				t.Errorf("%v", r.Err)
			}
		}
		if test.left > 0 {
			w.sleep(t.Context(), 20*time.Minute)
			approved.Left, approved.Earlier = receipts.Failed().Targets(), told
			for _, r := range receipts {
				if r.Err == nil {
					approved.Earlier = append(approved.Earlier, r)
				}
			}
			if failed := (notice.Channels{c}).Notify(within(t), approved).Failed(); len(failed) > 0 {
				t.Errorf("later: %v", failed)
			}
		}
		want := "#access: Access approved; ana@example.com: Access approved; ben@example.com: Access approved; carl@example.com: Access approved"
		if got := w.titles(); got != want {
			t.Errorf("%s: %s", test.wait, got)
		}
	}
}

// Slack's one message a second in a conversation is kept: many requests at once are all told.
func TestSlackKeepsToOneMessageASecond(t *testing.T) {
	w := newWorld(t)
	c := w.slack()
	began := w.now()
	for i := range 20 {
		n := asked()
		n.Request.ID = fmt.Sprintf("mpa-%016d", i)
		if failed := c.Notify(within(t), n).Failed(); len(failed) > 0 {
			t.Fatalf("%d: %v", i, failed)
		}
	}
	if took := w.now().Sub(began); len(w.Messages()) != 20 || took < 15*time.Second || took > 20*time.Second {
		t.Errorf("%d messages in %s", len(w.Messages()), took)
	}
}

// A token that is refused is read once more; one that is revoked is explained, and told nowhere.
func TestSlackReadsARefusedTokenOnceMore(t *testing.T) {
	w := newWorld(t)
	read := 0
	c := slack.New(w.config(func(context.Context) (string, error) { read++; return w.token, nil }), w.place)
	c.Notify(within(t), asked(ben))
	w.SetSlackToken("xoxb-CANARY-2")
	w.token = "xoxb-CANARY-2"
	if failed := c.Notify(within(t), asked(ben)).Failed(); len(failed) > 0 {
		t.Errorf("the new token is not used: %v", failed)
	}
	if read > 3 {
		t.Errorf("the token was read %d times", read)
	}
	w.SetSlackToken("xoxb-another")
	failed := c.Notify(within(t), asked(ben)).Failed()
	if len(failed) == 0 || channel.CodeOf(failed[0].Err) != "invalid_auth" {
		t.Fatalf("%v", failed)
	}
	w.Fail("/api/chat.postMessage", chat.Fault{Status: 200, Body: `{"ok":false,"error":"token_revoked"}`}, chat.Fault{Status: 200, Body: `{"ok":false,"error":"token_revoked"}`})
	secretless(t, "slack", fmt.Sprint(failed))
	var f *channel.Fault
	if !errors.As(failed[0].Err, &f) || !strings.Contains(f.Remedy, "OAuth & Permissions") {
		t.Errorf("%+v", f)
	}
}

// What a memory holds that somebody has changed names no message, and changes none.
func TestReceiptsThatAreNoneAreLeft(t *testing.T) {
	for _, ref := range []string{"", "x", "U00000002/D00000002", "a/b/c/d", "U00000002/C9/1.1", "//", "U00000002/../1"} {
		w := newWorld(t)
		n := after(asked(ben), access.RequestWithdrawn, access.NoticeWithdrawn)
		n.Earlier = access.Receipts{{Channel: "slack", Ref: ref}, {Channel: "mail", Ref: "U00000002/D00000002/1.1"}}
		if failed := w.slack().Notify(within(t), n).Failed(); len(failed) > 0 {
			t.Errorf("%q: %v", ref, failed)
		}
		if got, want := w.titles(), "#access: Request withdrawn; ben@example.com: Request withdrawn"; got != want {
			t.Errorf("%q: %s, want %s", ref, got, want)
		}
	}
}

// All of a request is in a thread of Google Chat, a message that is posted again is none, and no more are
// posted in a minute than Google takes.
func TestGoogleChatKeepsThreadsAndPostsNothingTwice(t *testing.T) {
	w := newWorld(t)
	c := w.googleChat()
	n := asked(ben)
	first := c.Notify(within(t), n)
	again := c.Notify(within(t), n)
	if first[0].Ref == "" || first[0].Ref != again[0].Ref || len(w.Messages()) != 1 {
		t.Errorf("%v and %v, %d messages", first, again, len(w.Messages()))
	}
	c.Notify(within(t), after(n, access.RequestApproved, access.NoticeApproved))
	other := asked(ben)
	other.ID, other.Request.ID = "N9", "mpa-BBBBBBBBBBBBBBBB"
	c.Notify(within(t), other)
	var threads []string
	for _, m := range w.Messages() {
		threads = append(threads, m.Thread)
	}
	if want := []string{"spaces/AAAA/threads/mpa-BBBBBBBBBBBBBBBB", "spaces/AAAA/threads/mpa-AAAAAAAAAAAAAAAA", "spaces/AAAA/threads/mpa-AAAAAAAAAAAAAAAA"}; !slices.Equal(threads, want) {
		t.Errorf("threads %q", threads)
	}
	began := w.now()
	for i := range 80 {
		n := asked(ben)
		n.ID = fmt.Sprintf("M%d", i)
		if failed := c.Notify(within(t), n).Failed(); len(failed) > 0 {
			t.Fatalf("%d: %v", i, failed)
		}
	}
	if took := w.now().Sub(began); took < 60*time.Second || took > 100*time.Second {
		t.Errorf("80 messages in %s", took)
	}
}

// The workflow of Teams is believed that it took a message, and no more.
func TestTeamsIsNotBelievedToShow(t *testing.T) {
	w := newWorld(t)
	steps := w.teams().Test(within(t), ben)
	if last := steps[len(steps)-1]; last.Name != "accepted" || !strings.Contains(last.Text, "not yet that Teams shows it") {
		t.Errorf("%+v", last)
	}
	r := w.teams().Notify(within(t), asked(ben))
	if len(r) != 1 || r[0].Ref != "" || r[0].To != "" || r[0].Err != nil {
		t.Errorf("%+v", r)
	}
}

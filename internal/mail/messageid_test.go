package mail_test

import (
	"bytes"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/mailbox"
)

func marks(t *testing.T, secrets ...[]byte) *mailbox.Marks {
	t.Helper()
	m, err := mailbox.NewMarks(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var keyOne, keyTwo = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)

// sentIDs are the Message-IDs of a review and of what came after it, without brackets, and what
// the latter answers.
func sentIDs(t *testing.T, m *mailbox.Marks, n access.Notice) (first, second, answers string) {
	t.Helper()
	server := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(server.Host, server.Port, server.Roots)
	if m != nil {
		c.MessageID = m.MessageID
	}
	sender := mailer(t, c)
	begin := review()
	begin.Request = n.Request
	for _, n := range []access.Notice{begin, n} {
		if failed := sender.Notify(t.Context(), n).Failed(); failed != nil {
			t.Fatal(failed)
		}
	}
	header := func(n int, name string) string {
		h, _ := parse(t, server.Messages()[n].Data)
		return strings.Trim(h.Get(name), "<>")
	}
	return header(0, "Message-Id"), header(1, "Message-Id"), header(1, "In-Reply-To")
}

// Whatever is told of a request is known again by its Message-ID, also by who has newer keys,
// and it threads as before.
func TestOurMessageIDsAreKnownAgain(t *testing.T) {
	for _, id := range []string{"mpa-AAAAAAAAAAAAAAAA", "jit-ab_cd-EF01234567", "mpa-+/+/+/+/abcdefgh"} {
		n := approved()
		n.Request.ID = id
		first, second, answers := sentIDs(t, marks(t, keyOne), n)
		if answers != first {
			t.Errorf("%s answers %s, and not %s", second, answers, first)
		}
		for _, messageID := range []string{first, second} {
			for _, m := range []*mailbox.Marks{marks(t, keyOne), marks(t, keyTwo, keyOne)} {
				if got, ours := m.RequestOf(messageID); !ours || got != id {
					t.Errorf("%s is of %q, %v", messageID, got, ours)
				}
			}
			if got, ours := marks(t, keyTwo).RequestOf(messageID); ours {
				t.Errorf("%s is of %s by another key", messageID, got)
			}
		}
	}
}

// Nothing else is one of ours: no other request, mail, domain, and nothing that is cut or longer.
func TestMessageIDsThatAreMadeUpAreNotOurs(t *testing.T) {
	m := marks(t, keyOne)
	first, _, _ := sentIDs(t, m, approved())
	local, domain, _ := strings.Cut(first, "@")
	words := local[:strings.LastIndexByte(local, '.')]
	for _, made := range []string{
		"", "@", ".", "..@", first + "x", "x" + first, local, local + "@other.example.com", strings.ToUpper(local) + "@" + domain,
		words + "@" + domain, words + ".@" + domain, words + ".00000000000000000000@" + domain, local[:len(local)-1] + "@" + domain,
		strings.Replace(first, "mpa-A", "mpa-B", 1), strings.Replace(first, ".review.", ".denied.", 1), local + "." + local + "@" + domain,
		strings.Repeat("a.", 100_000) + first,
	} {
		if id, ours := m.RequestOf(made); ours {
			t.Errorf("%.100q is of %s", made, id)
		}
	}
}

// Without a key Message-IDs are as they were; and a mail that tells of a bounce has no mark, so
// that its own coming back is told to nobody.
func TestWhatIsNotMarked(t *testing.T) {
	first, _, _ := sentIDs(t, nil, approved())
	if first != "mpa-AAAAAAAAAAAAAAAA.review@example.com" {
		t.Error(first)
	}
	n := approved()
	n.Kind, n.Decision, n.Bounce = access.NoticeBounced, access.Decision{}, access.Bounce{To: boris, At: now}
	m := marks(t, keyOne)
	first, second, answers := sentIDs(t, m, n)
	if id, ours := m.RequestOf(second); ours || answers != first {
		t.Errorf("%s is of %s and answers %s", second, id, answers)
	}
	n.Bounce.To = chen
	if _, other, _ := sentIDs(t, m, n); other == second {
		t.Error("two bounces are told by one Message-ID")
	}
	if _, err := mailbox.NewMarks(); err == nil {
		t.Error("marks without a secret")
	}
}

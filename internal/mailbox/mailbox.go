// Package mailbox reads what comes back of mails. It looks through what is new in a folder over
// IMAP for reports of mail servers that one of ours could not be delivered, and hands on what
// they say. Everything else is left as it is: unread, and where it lies.
//
// What the server, and whoever writes to the mailbox, is trusted for: nothing. A report is
// matched by our own Message-ID (see mail.Marks), which whoever has seen our mail knows; what it
// says is shown as what a mail says.
package mailbox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"

	"jitaccess/internal/access"
	"jitaccess/internal/outbound"
)

// Config is what a Mailbox is made of. Everything is required unless it says otherwise.
type Config struct {
	// Host and Port are the IMAP server's.
	Host string
	Port int
	// ImplicitTLS speaks TLS from the first byte (port 993); otherwise STARTTLS is demanded.
	ImplicitTLS bool
	// Roots are the authorities that may sign the server's certificate; nil, the system's. CA,
	// unless it is nil, returns those instead, and is called for each connection.
	Roots *x509.CertPool
	CA    func(context.Context) (*x509.CertPool, error)
	// Dial connects to the server; nil means directly.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Username logs in with what Login returns: a password or, with Token, an access token.
	Username string
	Login    Login
	Token    bool

	// Folder is what is looked through; empty is INBOX.
	Folder string
	// Keep leaves a bounce of ours in the folder, as read; otherwise it is deleted.
	Keep bool

	// RequestOf is the id of the request that a mail of ours with this Message-ID was about.
	RequestOf func(messageID string) (id string, ours bool)
	// Heard is told of each failure. known is false for a request that is not known here: then
	// the mail is left alone. With an error it is read again by the next look.
	Heard func(ctx context.Context, request string, f Failure) (known bool, err error)
	// Now is the clock; deadlines go by the real one.
	Now func() time.Time
}

// Login is what to log in with. Its errors hold no secret.
type Login interface {
	// Secret is as mail.Login has it: refused is empty, or the secret that the server has just
	// refused.
	Secret(ctx context.Context, refused string) (string, error)
}

const (
	// lookTime bounds one look, stepTime connecting.
	lookTime = 30 * time.Second
	stepTime = 10 * time.Second
	// closeTime is how much later than its end a look may return.
	closeTime = time.Second
	// firstCount is how many UIDs before the next one the first look begins, window how many it
	// asks for at once, and lookCount how many one look passes; the next one goes on there.
	firstCount = 2000
	window     = 200
	lookCount  = 2000
	// reportCount is of how many mails one look fetches more than a few fields.
	reportCount = 50
	// listenTime is how long it is listened before a look without news. Servers end what is
	// silent for 30 minutes (RFC 2177), and routers on the way much sooner.
	listenTime = time.Minute
	// stuckCount is how often a conversation may break off at one mail before that is passed over.
	stuckCount = 3
)

// Mailbox reads one folder. Make one with New; it may be used concurrently.
type Mailbox struct {
	c Config

	// looking is held while one looks; it guards validity, next and stuck.
	looking chan struct{}
	// validity is the UIDVALIDITY under which next is the first UID that was not looked at.
	validity uint32
	next     imap.UID
	// stuck is how often in a row a conversation broke off at next.
	stuck int

	mu   sync.Mutex
	last Looked
}

// Looked is what became of a look.
type Looked struct {
	// At is when it ended; zero when nobody has looked yet.
	At time.Time
	// Mails were new, Returned are bounces of ours among them that were taken in.
	Mails, Returned int
	// Left is how many numbers of mails were left for the next look, at most as many mails.
	Left int
	// Err is why it ended early; a *Fault, or what Heard said.
	Err error
}

// New makes a Mailbox. It connects to nothing.
func New(c Config) (*Mailbox, error) {
	if c.Host == "" || c.Login == nil || c.RequestOf == nil || c.Heard == nil || c.Now == nil {
		return nil, errors.New("mailbox: something that is required is missing")
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Folder == "" {
		c.Folder = "INBOX"
	}
	return &Mailbox{c: c, looking: make(chan struct{}, 1)}, nil
}

// Last is what became of the last look of this instance.
func (m *Mailbox) Last() Looked {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Look connects and takes in what is new, within half a minute. Where somebody looks already it
// does nothing.
func (m *Mailbox) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return m.alone(ctx, func() error {
		s, err := m.enter(ctx)
		if err != nil {
			return m.looked(Looked{Err: err})
		}
		defer s.close()
		return m.look(ctx, s)
	})
}

// Listen takes in what is new as soon as the server tells of it (RFC 2177), and once a minute,
// until ctx ends or the conversation breaks off, which is the error.
func (m *Mailbox) Listen(ctx context.Context) error {
	return m.alone(ctx, func() error {
		entering, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		s, err := m.enter(entering)
		if err != nil {
			return m.looked(Looked{Err: err})
		}
		defer s.close()
		for {
			within, cancel := context.WithTimeout(ctx, lookTime)
			err := m.look(within, s)
			cancel()
			if err != nil || !s.client.Caps().Has(imap.CapIdle) {
				return err
			}
			if err := s.listen(ctx); err != nil {
				return err
			}
		}
	})
}

// alone does nothing while somebody else looks. It ends with ctx, by which connections are closed,
// or a moment later: what the client is still busy with then is not waited for, and until it
// ends nobody else looks.
func (m *Mailbox) alone(ctx context.Context, do func() error) error {
	select {
	case m.looking <- struct{}{}:
	default:
		return nil
	}
	type end struct{ err, broke any }
	ended := make(chan end, 1)
	go func() {
		var e end
		defer func() {
			e.broke = recover()
			<-m.looking
			ended <- e
		}()
		if err := do(); err != nil {
			e.err = err
		}
	}()
	var e end
	select {
	case e = <-ended:
	case <-ctx.Done():
		select {
		case e = <-ended:
		case <-time.After(closeTime):
			return m.looked(Looked{Err: fault(ctx, atReading, "", ctx.Err())})
		}
	}
	if e.broke != nil {
		panic(e.broke) // it is whoever called us who sees to that
	}
	err, _ := e.err.(error)
	return err
}

// looked keeps what became of a look, and returns its error.
func (m *Mailbox) looked(l Looked) error {
	l.At = m.c.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = l
	return l.Err
}

// enter logs in; once more if the log-in is refused and there is another secret to try.
func (m *Mailbox) enter(ctx context.Context) (*session, error) {
	secret, err := m.c.Login.Secret(ctx, "")
	if err != nil {
		return nil, fault(ctx, atSecret, "", err)
	}
	s, err := m.c.open(ctx, secret, func(string, string) {})
	if f, ok := errors.AsType[*Fault](err); !ok || !f.refused {
		return s, err
	}
	next, failed := m.c.Login.Secret(ctx, secret)
	if failed != nil {
		return nil, fault(ctx, atSecret, "", failed)
	}
	if next == secret {
		return nil, err
	}
	return m.c.open(ctx, next, func(string, string) {})
}

// look takes in what is new in the folder.
func (m *Mailbox) look(ctx context.Context, s *session) error {
	var l Looked
	defer s.within(ctx)()
	answered := outbound.Begin(ctx, observedAs, "look")
	l.Err = m.through(ctx, s, &l)
	answered(outbound.Status(l.Err))
	return m.looked(l)
}

func (m *Mailbox) through(ctx context.Context, s *session, l *Looked) error {
	s.allow(maxAnswer)
	folder, err := s.client.Select(m.c.Folder, nil).Wait()
	if err != nil {
		return s.fault(ctx, atFolder, err)
	}
	if folder.UIDNext == 0 || folder.UIDValidity == 0 {
		return s.fault(ctx, atFolder, errNoNumbers)
	}
	if folder.UIDValidity != m.validity || m.next > folder.UIDNext { // what we knew of it holds no longer
		m.validity, m.stuck = folder.UIDValidity, 0
		m.next = folder.UIDNext - min(folder.UIDNext-1, firstCount)
	}
	reports, count := 0, imap.UID(window)
	if m.stuck > 0 { // one by one, until the one is found at which it breaks off
		count = 1
	}
	defer func() { l.Left = int(folder.UIDNext) - int(min(m.next, folder.UIDNext)) }()
	for passed := imap.UID(0); m.next < folder.UIDNext && passed < lookCount && reports < reportCount; {
		from := m.next
		if err := m.window(ctx, s, min(from+count, folder.UIDNext), &reports, l); err != nil {
			return err
		}
		passed += m.next - from
	}
	return nil
}

// window goes through the mails from m.next on, up to end, and stops early after enough reports.
// What it is through with it does not look at again.
func (m *Mailbox) window(ctx context.Context, s *session, end imap.UID, reports *int, l *Looked) error {
	broken := func(err error) error {
		if m.stuck++; m.stuck >= stuckCount && end == m.next+1 {
			m.next, m.stuck = end, 0
		}
		return s.fault(ctx, atReading, err)
	}
	heads, err := s.heads(m.next, end-1)
	if err != nil {
		return broken(err)
	}
	for _, h := range heads {
		if *reports == reportCount {
			return nil
		}
		l.Mails++
		if fields, _ := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(h.fields))); mayBe(message.Header{Header: fields}) {
			*reports++
			text, err := s.mail(h.uid)
			if err != nil {
				return broken(err)
			}
			taken, err := m.take(ctx, text)
			if err == nil && taken {
				l.Returned++
				if err := s.settle(h.uid); err != nil {
					return broken(err)
				}
			}
			if err != nil {
				return err
			}
		}
		m.next, m.stuck = h.uid+1, 0
	}
	m.next, m.stuck = end, 0
	return nil
}

// take hands on what a mail says of one of ours, if it does.
func (m *Mailbox) take(ctx context.Context, text []byte) (taken bool, err error) {
	returned, ok := m.understood(text)
	if !ok {
		return false, nil
	}
	for _, f := range returned.Failures {
		known, err := m.c.Heard(ctx, returned.Request, f)
		if err != nil || !known {
			return false, err
		}
	}
	return true, nil
}

// understood is Read; a mail that breaks it is as any other that is not understood.
func (m *Mailbox) understood(text []byte) (returned Returned, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return Read(bytes.NewReader(text), m.c.RequestOf)
}

// listen returns when there may be something new, or after listenTime.
func (s *session) listen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listenTime+stepTime)
	defer cancel()
	defer s.within(ctx)()
	s.allow(maxAnswer)
	idle, err := s.client.Idle()
	if err != nil {
		return s.fault(ctx, atListening, err)
	}
	timer := time.NewTimer(listenTime)
	defer timer.Stop()
	select {
	case <-s.news:
	case <-timer.C:
	case <-ctx.Done():
	case <-s.client.Closed():
		err = io.ErrUnexpectedEOF
	}
	if closed := idle.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = idle.Wait()
	}
	if err != nil {
		return s.fault(ctx, atListening, err)
	}
	return nil
}

// Probe logs in and looks at the folder, and says what it may do there. It reads no mail and
// changes nothing. passed is told of each step; the error is of the one that failed.
func (m *Mailbox) Probe(ctx context.Context, passed func(name, text string)) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	secret, err := m.c.Login.Secret(ctx, "")
	if err != nil {
		return fault(ctx, atSecret, "", err)
	}
	s, err := m.c.open(ctx, secret, passed)
	if err != nil {
		return err
	}
	defer s.close()
	defer s.within(ctx)()
	s.allow(maxAnswer)
	folder, err := s.client.Select(m.c.Folder, &imap.SelectOptions{}).Wait()
	if err == nil && (folder.UIDNext == 0 || folder.UIDValidity == 0) {
		err = errNoNumbers
	}
	if err != nil {
		return s.fault(ctx, atFolder, err)
	}
	passed("folder", fmt.Sprintf("%q has %s", m.c.Folder, access.Counted(int(folder.NumMessages), "mail", "mails")))
	may, flag := "marked as read", imap.FlagSeen
	if !m.c.Keep {
		may, flag = "deleted", imap.FlagDeleted
	}
	// Without the answer PERMANENTFLAGS all can be changed (RFC 3501, 7.1).
	if flags := folder.PermanentFlags; flags != nil && !slices.Contains(flags, flag) && !slices.Contains(flags, imap.FlagWildcard) {
		return s.fault(ctx, atFolder, fmt.Errorf("what was read cannot be %s: the mailbox may not be changed", may))
	}
	when := "it is looked at once a minute"
	if s.client.Caps().Has(imap.CapIdle) {
		when = "the server tells of new mail (IDLE)"
	}
	passed("rights", "bounces of our mails are "+may+", nothing else is changed; "+when)
	return nil
}

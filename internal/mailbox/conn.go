package mailbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"

	"jitaccess/internal/lazyregexp"
)

var (
	errTooMuch     = errors.New("the server says more than it was asked for")
	errNoSTARTTLS  = errors.New("the server does not begin TLS (STARTTLS), and nothing is said without it")
	errNoMechanism = errors.New("the server offers no way to log in that may be used")
	errNoNumbers   = errors.New("the server does not say which number the next mail gets (UIDNEXT), or for how long (UIDVALIDITY)")
)

// maxLine is how long a line may be that comes before TLS.
const maxLine = 4 << 10

// startTLS has the server begin TLS next (RFC 9051, 6.2.1), and returns its greeting without what
// that says of itself: until TLS has begun anybody may have said it. It reads byte by byte, so that
// nothing that was slipped in behind the answer is left.
func startTLS(conn net.Conn) (greeting string, err error) {
	line, err := readLine(conn)
	if err == nil && !strings.HasPrefix(strings.ToUpper(line), "* OK") {
		err = fmt.Errorf("%w: the greeting is none", errNoSTARTTLS)
	}
	if err == nil {
		_, err = io.WriteString(conn, "T0 STARTTLS\r\n")
	}
	for lines := 0; err == nil; lines++ {
		line, err = readLine(conn)
		tagged := strings.HasPrefix(line, "T0 ")
		switch {
		case err != nil:
		case tagged && strings.HasPrefix(strings.ToUpper(line), "T0 OK"):
			return "* OK\r\n", nil
		case tagged, lines == 10:
			err = fmt.Errorf("%w: %q", errNoSTARTTLS, line)
		}
	}
	return "", err
}

func readLine(r io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxLine {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, one[0])
	}
	return "", errTooMuch
}

// conn bounds what the server may say: how much, and how deep lists may lie in each other. The
// client descends into them, and nothing that we ask for is deeper than three.
type conn struct {
	net.Conn
	// first is read before anything that comes.
	first string
	left  atomic.Int64
	depth depth
	// over is whether it has said more.
	over atomic.Bool
}

func (c *conn) Read(p []byte) (n int, err error) {
	left := c.left.Load()
	switch {
	case c.first != "":
		n = copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	case left > 0:
		n, err = c.Conn.Read(p[:min(int64(len(p)), left)])
		c.left.Add(-int64(n))
	}
	if left <= 0 || !c.depth.keeps(p[:n]) {
		c.over.Store(true)
		return 0, errTooMuch
	}
	return n, err
}

const maxLists = 20

// depth follows the lists in what a server says, outside of quoted texts and literals
// (RFC 9051, 4). It must know where a line begins whenever the client does, which takes more for a
// quoted text, a literal, or the code of an answer than servers say: what is none of what we ask for is
// broken off, and so is what goes on behind the end of a line in any way but as a literal of a mail.
type depth struct {
	line    []byte // its beginning, at most beginning
	lists   int
	quoted  bool
	escaped bool
	code    bool // of an answer, that is not closed
	// size is what stands in the braces that were the last there; literal what is left of one.
	size, literal int64
	braces        byte // the brace, or the line break, that came last
}

// beginning is how much of a line tells what it is, in bytes.
const beginning = 32

var (
	// fetched begins an answer to FETCH; counted is all of one that has a number too.
	fetched = lazyregexp.New(`(?i)^\* [1-9][0-9]{0,9} FETCH \(`)
	counted = lazyregexp.New(`(?i)^\* (?:0|[1-9][0-9]{0,9}) (?:EXISTS|RECENT|EXPUNGE)\r?\n$`)
	// worded begins what ends in a text for people, in which quotes and braces are nothing.
	worded = lazyregexp.New(`(?i)^(?:[^*]|\* (?:OK|NO|BAD|BYE|PREAUTH)\b)`)
	coded  = lazyregexp.New(`^\S+ [A-Za-z]+ \[$`)
)

func (d *depth) keeps(said []byte) bool {
	for _, b := range said {
		if d.literal > 0 {
			d.literal--
			continue
		}
		if len(d.line) < beginning {
			d.line = append(d.line, b)
		}
		switch {
		case b == '\n':
			if d.braces == '\r' && fetched().Match(d.line) {
				d.literal, d.braces = d.size, 0
				continue
			}
			if !d.ends() {
				return false
			}
			*d = depth{line: d.line[:0]}
		case d.quoted:
			d.quoted = d.escaped || b != '"'
			d.escaped = b == '\\' && !d.escaped
		case b == '"':
			d.quoted = !worded().Match(d.line)
		case b == '(':
			if d.lists++; d.lists > maxLists {
				return false
			}
		case b == ')':
			d.lists--
		case b == '[':
			d.code = d.code || coded().Match(d.line)
		case b == ']':
			d.code = false
		case b == '{' && !fetched().Match(d.line) && !worded().Match(d.line):
			return false
		}
		switch {
		case b == '{' && !d.quoted:
			d.braces, d.size = '{', 0
		case d.braces == '{' && '0' <= b && b <= '9' && d.size < 1<<32:
			d.size = 10*d.size + int64(b-'0')
		case d.braces == '{' && b == '}', d.braces == '}' && b == '\r':
			d.braces = b
		default:
			d.braces = 0
		}
	}
	return true
}

// ends is whether the line ends here for the client too, or gives it up.
func (d *depth) ends() bool {
	numbered := len(d.line) > 2 && d.line[0] == '*' && '0' <= d.line[2] && d.line[2] <= '9'
	switch {
	case fetched().Match(d.line):
		return !d.quoted && d.lists <= 0
	case numbered:
		return counted().Match(d.line)
	}
	return !d.quoted && !d.code
}

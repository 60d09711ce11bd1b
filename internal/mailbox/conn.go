package mailbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
)

var (
	errTooMuch     = errors.New("the server says more than it was asked for")
	errNoSTARTTLS  = errors.New("the server does not begin TLS (STARTTLS), and nothing is said without it")
	errNoMechanism = errors.New("the server offers no way to log in that may be used")
	errNoNumbers   = errors.New("the server does not say which number the next mail gets (UIDNEXT)")
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
// (RFC 9051, 4). Literals are known in answers to FETCH alone, of which the client takes apart
// everything: where it would not take one for a literal, it gives up.
type depth struct {
	lists   int
	quoted  bool
	escaped bool
	line    []byte // its beginning
	// size is what stands in the braces that were the last there; literal what is left of one.
	size, literal int64
	braces        byte // the brace, or the line break, that came last
}

func (d *depth) keeps(said []byte) bool {
	for _, b := range said {
		if d.literal > 0 {
			d.literal--
			continue
		}
		if len(d.line) < 20 {
			d.line = append(d.line, b)
		}
		switch {
		case b == '\n':
			if d.quoted && fetched(d.line) {
				return false // a text for people may have a lone one
			}
			if d.braces == '\r' && fetched(d.line) {
				d.literal, d.braces = d.size, 0
				continue
			}
			*d = depth{line: d.line[:0]}
		case d.quoted:
			d.quoted = d.escaped || b != '"'
			d.escaped = b == '\\' && !d.escaped
		case b == '"':
			d.quoted = true
		case b == '(':
			if d.lists++; d.lists > maxLists {
				return false
			}
		case b == ')':
			d.lists--
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

// fetched is whether a line is an answer to FETCH: "* 12 FETCH (".
func fetched(line []byte) bool {
	words := strings.Fields(string(line))
	return len(words) > 2 && words[0] == "*" && strings.Trim(words[1], "0123456789") == "" && strings.EqualFold(words[2], "FETCH")
}

package main

import (
	"bytes"
	bigendian "encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/mail/smtptest"
)

// How a connection to the database is lost, the columns of the matrix of statements.
const (
	lostBefore = "lost before it"
	lostWithin = "lost within it"
	answerLost = "answer lost"
)

// wire is a proxy in front of a PostgreSQL that knows what is sent to it, and loses
// connections. What is sent up to a Sync, or a simple query, is one round trip
// (https://www.postgresql.org/docs/current/protocol-flow.html).
type wire struct {
	net.Listener
	socket string

	mu sync.Mutex
	// made are the round trips since arm, each by what it does and how often that was.
	made []string
	// at is the one that is lost, in a way.
	at, how string
}

func newWire(t *testing.T, cluster *ledgertest.Cluster) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: listener, socket: filepath.Join(cluster.Folder(), ".s.PGSQL.5432")}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(client)
		}
	}()
	return w
}

// arm has a round trip lost that is made from now on; none where how is empty.
func (w *wire) arm(at, how string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.how, w.made = at, how, nil
}

func (w *wire) trips() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.made)
}

// takes notes a round trip, and says how it is lost.
func (w *wire) takes(what string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 1
	for _, before := range w.made {
		if before == what || strings.HasPrefix(before, what+" #") {
			n++
		}
	}
	if n > 1 {
		what += fmt.Sprintf(" #%d", n)
	}
	w.made = append(w.made, what)
	if what == w.at {
		how := w.how
		w.how = "" // once
		return how
	}
	return ""
}

// message is one of the protocol's, with its type, zero for the first of all.
type message struct {
	kind byte
	raw  []byte
}

// readMessage reads one; first is that of the beginning, which has no type.
func readMessage(r io.Reader, first bool) (message, error) {
	head := make([]byte, 5)
	if first {
		head = head[:4]
	}
	if _, err := io.ReadFull(r, head); err != nil {
		return message{}, err
	}
	size := bigendian.BigEndian.Uint32(head[len(head)-4:])
	body := make([]byte, size-4)
	_, err := io.ReadFull(r, body)
	m := message{raw: append(head, body...)}
	if !first {
		m.kind = head[0]
	}
	return m, err
}

// text is the n-th zero-terminated text of a message.
func (m message) text(n int) string {
	return string(bytes.Split(m.raw[5:], []byte{0})[n])
}

func (w *wire) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", w.socket)
	if err != nil {
		return
	}
	defer server.Close()
	swallow := make(chan struct{}) // closed: the next answer is not passed on
	go func() {
		defer client.Close()
		defer server.Close()
		for {
			m, err := readMessage(server, false)
			if err != nil {
				return
			}
			select {
			case <-swallow:
				if m.kind == 'Z' { // it is done
					return
				}
				continue
			default:
			}
			if _, err := client.Write(m.raw); err != nil {
				return
			}
		}
	}()
	begin, err := readMessage(client, true)
	if err != nil {
		return
	}
	if _, err := server.Write(begin.raw); err != nil {
		return
	}
	prepared := map[string]string{}
	for {
		var trip []message
		for len(trip) == 0 || !strings.ContainsRune("SQX", rune(trip[len(trip)-1].kind)) {
			m, err := readMessage(client, false)
			if err != nil {
				return
			}
			trip = append(trip, m)
		}
		how := ""
		if what := describe(trip, prepared); what != "" {
			how = w.takes(what)
		}
		send := trip
		switch how {
		case lostBefore:
			return
		case lostWithin:
			send = trip[:len(trip)/2]
		case answerLost:
			close(swallow)
		}
		for _, m := range send {
			if _, err := server.Write(m.raw); err != nil {
				return
			}
		}
		if how == lostWithin {
			return
		}
	}
}

var verb = regexp.MustCompile(`(?is)^\s*(SELECT|INSERT|DELETE|UPDATE)\b(?:.*?\b(?:FROM|INTO))?\s+(\w+)`)

// describe says what a round trip does; nothing where it only prepares, or ends.
func describe(trip []message, prepared map[string]string) string {
	var does []string
	add := func(statement string) {
		if m := verb.FindStringSubmatch(statement); m != nil {
			does = append(does, strings.ToUpper(m[1])+" "+m[2])
		} else if statement != "" {
			does = append(does, strings.ToUpper(strings.Fields(statement)[0]))
		}
	}
	for _, m := range trip {
		switch m.kind {
		case 'P':
			prepared[m.text(0)] = m.text(1)
		case 'B':
			add(prepared[m.text(1)])
		case 'Q':
			add(m.text(0))
		}
	}
	if len(does) == 1 && strings.HasPrefix(does[0], "--") { // a ping
		return ""
	}
	return strings.Join(does, ", ")
}

// TestEveryStatementMayBeLost loses the connection to a PostgreSQL at every round trip of
// every deed of a story: before it, within it, and after it was done and before its answer.
// What came of it is the table in docs/reliability.md.
func TestEveryStatementMayBeLost(t *testing.T) {
	table, row := matrix([]string{lostBefore, lostWithin, answerLost})
	cluster := ledgertest.PostgreSQL(t)
	w := newWire(t, cluster)
	address := fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", ledgertest.Superuser, w.Addr(), cluster.Database(t, ""))
	f := newFaulty(t, smtptest.Options{}, map[string]string{"DATABASE_URL": address})
	for _, deed := range deeds {
		var trips []string
		for range 2 { // statements are prepared by the first one; what is due is done before
			f.fails(deed, func() { f.sweep(); w.arm("", "") }, func() { trips = w.trips() })
		}
		slices.Sort(trips) // some are made at the same time
		for _, trip := range trips {
			row(deed, "`"+trip+"`", func(how string) (cell string) {
				t.Run(deed+", "+trip+", "+how, func(t *testing.T) {
					defer f.of(t)()
					met, made := false, []string(nil)
					cell = f.fails(deed, func() { f.sweep(); w.arm(trip, how) }, func() {
						w.mu.Lock()
						met, made = w.how == "", slices.Clone(w.made)
						w.mu.Unlock()
						w.arm("", "")
					})
					if !met {
						t.Errorf("it was not made; these were: %q", made)
					}
				})
				return cell
			})
		}
	}
	documented(t, "matrix of statements", table.String())
	if strings.Contains(f.world.log.String(), "panic") {
		t.Error("a panic")
	}
}

package mail_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"jitaccess/internal/mail/smtptest"
)

// FuzzAnswers: whatever a server says, everybody is either told, which takes a yes to
// the message, or reported, in words that a log can take.
func FuzzAnswers(f *testing.F) {
	const hello = "220 mail.example.com\r\n250-mail.example.com\r\n250 PIPELINING\r\n"
	for _, seed := range []string{
		"", "220", hello, strings.ReplaceAll(hello, "PIPELINING", "SIZE 1"),
		hello + "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n",
		hello + "250 ok\r\n550 no\r\n452 no\r\n250 ok\r\n354 go\r\n250 taken\r\n250 ok\r\n",
		hello + "250 ok\r\n550 no\r\n550 no\r\n550 no\r\n354 go\r\n554 nobody\r\n",
		hello + "432 slow\r\n503 no\r\n503 no\r\n503 no\r\n503 no\r\n250 ok\r\n",
		hello + "250-ok\r\n250\r\n421 bye\r\n", hello + "999999999999 \xff\x00\r\n\r\n-\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		if len(said) > 1<<16 {
			return
		}
		host, port := smtptest.Listen(t, func(_ int, conn net.Conn) {
			io.WriteString(conn, said)
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
		})
		failed := mailer(t, plainConfig(host, port)).Notify(t.Context(), review()).Failed()
		if len(failed) < 3 && strings.Count(said, "2") < 5 {
			t.Errorf("%q tells somebody: %v", said, failed)
		}
		for _, u := range failed {
			wantSafe(t, u.Err)
		}
	})
}

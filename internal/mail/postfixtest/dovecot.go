package postfixtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Dovecot is a running Dovecot that gives out the mail of a Postfix. STARTTLS is demanded at one
// port, as at 143, and TLS begins with the first byte at another, as at 993.
type Dovecot struct{ Port, ImplicitPort int }

// dovecotConf leaves nothing to what is installed. Both may have their files where
// the mail lies, in a directory of the test.
const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <%[1]s/tls/certificate.pem
ssl_key = <%[1]s/tls/key.pem
disable_plaintext_auth = yes
mail_location = maildir:%[1]s/mail/%%n
auth_username_format = %%Lu
passdb {
  driver = passwd-file
  args = %[1]s/etc/people
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=%[1]s/mail/%%n
}
service imap-login {
  inet_listener imap {
    port = %[2]d
  }
  inet_listener imaps {
    port = %[3]d
    ssl = yes
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
`

// StartDovecot starts a Dovecot that ends with the test. Those people log in with Password.
func StartDovecot(t *testing.T, p *Postfix, people ...string) *Dovecot {
	t.Helper()
	const program = "/usr/sbin/dovecot"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%s is missing: run make test, which installs it", program)
	}
	d := &Dovecot{Port: port(t), ImplicitPort: port(t)}
	users := ""
	for _, name := range people {
		users += name + "@example.com:{PLAIN}" + Password + "\n"
	}
	for name, text := range map[string]string{
		"etc/dovecot.conf": fmt.Sprintf(dovecotConf, p.Directory, d.Port, d.ImplicitPort),
		"etc/people":       users,
	} {
		if err := os.WriteFile(filepath.Join(p.Directory, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	daemon := exec.Command(program, "-F", "-c", filepath.Join(p.Directory, "etc/dovecot.conf"))
	log, err := daemon.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		said := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			t.Log(lines.Text())
			if !said && strings.Contains(lines.Text(), "starting up") {
				said = true
				close(ready)
			}
		}
	}()
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		<-ended
		_ = daemon.Wait()
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("Dovecot ended")
	case <-time.After(time.Minute):
		t.Fatal("Dovecot did not start")
	}
	return d
}

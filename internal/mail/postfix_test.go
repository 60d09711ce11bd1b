package mail_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/porttest"
)

// TestPostfix goes through a mail server that others have written: it demands TLS
// and a log-in, delivers to a Maildir each, and knows ana and boris alone.
func TestPostfix(t *testing.T) {
	p := startPostfix(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *postfix)
	}{
		{"delivers what we send", func(t *testing.T, p *postfix) { postfixDelivers(t, p, p.config()) }},
		{"delivers what we send with TLS from the first byte", func(t *testing.T, p *postfix) {
			c := p.config()
			c.Port, c.ImplicitTLS = p.implicitPort, true
			postfixDelivers(t, p, c)
		}},
		{"refuses one recipient, and the others get theirs", postfixRefusesOne},
		{"refuses a wrong password", postfixRefusesPassword},
		{"wants STARTTLS, and we begin with TLS", postfixAnswersInClearText},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, p) })
	}
}

func postfixDelivers(t *testing.T, p *postfix, c mail.Config) {
	n := review()
	n.To = []access.Principal{boris}
	if failed := mailer(t, c).Notify(t.Context(), n).Failed(); failed != nil {
		t.Fatalf("could not tell %v", failed)
	}
	p.wait(t, "status=sent", 2)
	for _, who := range []string{"ana", "boris"} {
		header, parts := parse(t, p.mail(t, who))
		if got := header.Get("Subject"); got != "ana@example.com requests access to project shop-prod" {
			t.Errorf("%s got the subject %q", who, got)
		}
		if got := header.Get("Received"); !strings.Contains(got, "with ESMTPSA id") {
			t.Errorf("%s's mail was received %q, want ESMTP over TLS with a log-in", who, got)
		}
		if len(parts) != 2 || !strings.Contains(parts[0].text, n.ReviewURL) || !strings.Contains(parts[1].text, n.ReviewURL) {
			t.Errorf("%s got the parts %v, want the link in both", who, parts)
		}
	}
}

func postfixRefusesOne(t *testing.T, p *postfix) {
	failed := mailer(t, p.config()).Notify(t.Context(), review()).Failed()
	if len(failed) != 1 || failed[0].To != chen || !strings.Contains(failed[0].Err.Error(), "550") {
		t.Errorf("undelivered %v, want chen alone", failed)
	}
	p.wait(t, "status=sent", 2)
}

func postfixRefusesPassword(t *testing.T, p *postfix) {
	c := p.config()
	c.Login = mail.Password(func(context.Context) (string, error) { return "wrong", nil }, c.Now)
	failed := mailer(t, c).Notify(t.Context(), review()).Failed()
	wantUndelivered(t, failed, access.Upstream)
	if text := failed[0].Err.Error(); !strings.Contains(text, "the log-in: 535 5.7.8") {
		t.Errorf("error is %q", text)
	}
}

func postfixAnswersInClearText(t *testing.T, p *postfix) {
	c := p.config()
	c.ImplicitTLS = true
	failed := mailer(t, c).Notify(t.Context(), review()).Failed()
	wantUndelivered(t, failed, access.Upstream)
	if text := failed[0].Err.Error(); !strings.Contains(text, "clear text") {
		t.Errorf("error is %q", text)
	}
}

// postfix is a running Postfix with a directory of its own. It takes mail with
// STARTTLS at one port, as at 587, and with TLS from the first byte at another, as
// at 465.
type postfix struct {
	directory          string
	port, implicitPort int
	tls                *smtptest.Authority
	lines              chan string
}

func (p *postfix) config() mail.Config { return config("127.0.0.1", p.port, p.tls.Roots) }

// wait reads the log until a text has come so many times.
func (p *postfix) wait(t *testing.T, text string, times int) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for seen := 0; seen < times; {
		select {
		case line, running := <-p.lines:
			if !running {
				t.Fatalf("postfix ended before it said %q", text)
			}
			t.Log(line)
			if strings.Contains(line, text) {
				seen++
			}
		case <-timeout:
			t.Fatalf("postfix did not say %q", text)
		}
	}
}

// mail takes the only mail of somebody out of their mailbox, with the line breaks of
// a message.
func (p *postfix) mail(t *testing.T, who string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.directory, "mail", who, "new", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s has the mails %v, %v", who, files, err)
	}
	data, err := os.ReadFile(files[0])
	if err == nil {
		err = os.Remove(files[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "\n", "\r\n")
}

// Debian's Postfix looks for the settings of SASL in the folder sasl of its
// configuration directory.
const mainCF = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = /dev/stdout
myhostname = mail.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
virtual_mailbox_domains = example.com
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = inline:{ana@example.com=ana/, boris@example.com=boris/}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = %[1]s/tls/certificate.pem
smtpd_tls_key_file = %[1]s/tls/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = example.com
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
`

const masterCF = `127.0.0.1:%d inet n - n - - smtpd
127.0.0.1:%d inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix starts a Postfix that ends with the test.
func startPostfix(t *testing.T) *postfix {
	t.Helper()
	for _, program := range []string{"/usr/sbin/postfix", "/usr/sbin/saslpasswd2"} {
		if _, err := os.Stat(program); err != nil {
			t.Fatalf("%s is missing: run make test, which installs it", program)
		}
	}
	if os.Getuid() != 0 {
		t.Fatal("Postfix can be started by root alone: run make test as root")
	}
	// Not t.TempDir: Postfix's own users must be able to go through it.
	directory, err := os.MkdirTemp("", "postfix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	p := &postfix{directory: directory, port: port(t), implicitPort: port(t), tls: smtptest.NewAuthority(t), lines: make(chan string, 1000)}
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc", "queue", "data", "mail", "tls", "etc/sasl"} {
		if err := os.Mkdir(filepath.Join(directory, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	certificate, key := smtptest.PEM(t, p.tls.Issue(t, smtptest.Good))
	for name, text := range map[string]string{
		"etc/main.cf":         fmt.Sprintf(mainCF, directory),
		"etc/master.cf":       fmt.Sprintf(masterCF, p.port, p.implicitPort),
		"tls/certificate.pem": string(certificate),
		"tls/key.pem":         string(key),
		"etc/sasl/smtpd.conf": fmt.Sprintf("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s/etc/sasl/users\nmech_list: PLAIN LOGIN\n", directory),
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	users := filepath.Join(directory, "etc", "sasl", "users")
	register := exec.Command("/usr/sbin/saslpasswd2", "-c", "-p", "-f", users, "-u", "example.com", "jit")
	register.Stdin = strings.NewReader(secret)
	run(t, register)
	run(t, exec.Command("chown", "postfix", filepath.Join(directory, "data")))
	run(t, exec.Command("chown", "root:postfix", users, filepath.Join(directory, "etc/sasl/smtpd.conf")))
	run(t, exec.Command("chmod", "640", users, filepath.Join(directory, "etc/sasl/smtpd.conf")))
	run(t, exec.Command("chown", "65534:65534", filepath.Join(directory, "mail")))
	run(t, exec.Command("chmod", "644", filepath.Join(directory, "etc/main.cf"), filepath.Join(directory, "etc/master.cf")))
	p.start(t)
	return p
}

// start runs it in the foreground, reading its log, until it says that it has
// started.
func (p *postfix) start(t *testing.T) {
	t.Helper()
	etc := filepath.Join(p.directory, "etc")
	daemon := exec.Command("/usr/sbin/postfix", "-c", etc, "start-fg")
	log, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	daemon.Stderr = daemon.Stdout
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(p.lines)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			select {
			case p.lines <- lines.Text():
			default: // nobody reads it any more
			}
		}
	}()
	t.Cleanup(func() {
		if output, err := exec.Command("/usr/sbin/postfix", "-c", etc, "stop").CombinedOutput(); err != nil {
			t.Errorf("postfix stop: %v\n%s", err, output)
			_ = daemon.Process.Kill()
		}
		<-ended
		_ = daemon.Wait()
	})
	p.wait(t, "daemon started", 1)
}

func run(t *testing.T, command *exec.Cmd) {
	t.Helper()
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command.Args, err, output)
	}
}

func port(t *testing.T) int {
	t.Helper()
	port, err := strconv.Atoi(porttest.Free(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

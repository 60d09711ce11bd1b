// Package postfixtest starts mail servers that others have written, for tests: a Postfix that
// delivers to a Maildir each, and a Dovecot that gives those out.
package postfixtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/porttest"
)

// Postfix is a running Postfix with a directory of its own. It takes mail with
// STARTTLS at one port, as at 587, and with TLS from the first byte at another, as
// at 465, of jit@example.com who logs in with Password.
type Postfix struct {
	Directory          string
	Port, ImplicitPort int
	TLS                *smtptest.Authority
	lines              chan string
}

// Password is that of everybody.
const Password = "correct horse battery staple"

// Options are whom it knows, by the local parts of their addresses at example.com.
type Options struct {
	// Mailboxes are who has one.
	Mailboxes []string
	// Gone are those whose mail it takes, and sends back later.
	Gone []string
}

// Wait reads the log until a text has come so many times.
func (p *Postfix) Wait(t *testing.T, text string, times int) {
	t.Helper()
	timeout := time.After(time.Minute)
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

// Mail takes the only mail of somebody out of their mailbox, with the line breaks of
// a message.
func (p *Postfix) Mail(t *testing.T, who string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.Directory, "mail", who, "new", "*"))
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
virtual_mailbox_maps = inline:{%[2]s}
virtual_alias_maps = inline:{%[3]s}
transport_maps = inline:{{gone.example = error:5.1.1 nobody is called that}}
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

// Start starts a Postfix that ends with the test.
func Start(t *testing.T, o Options) *Postfix {
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
	p := &Postfix{Directory: directory, Port: port(t), ImplicitPort: port(t), TLS: smtptest.NewAuthority(t), lines: make(chan string, 1000)}
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc", "queue", "data", "mail", "tls", "etc/sasl"} {
		if err := os.Mkdir(filepath.Join(directory, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	certificate, key := smtptest.PEM(t, p.TLS.Issue(t, smtptest.Good))
	for name, text := range map[string]string{
		"etc/main.cf":         fmt.Sprintf(mainCF, directory, o.mailboxes(), o.gone()),
		"etc/master.cf":       fmt.Sprintf(masterCF, p.Port, p.ImplicitPort),
		"tls/certificate.pem": string(certificate),
		"tls/key.pem":         string(key),
		"etc/sasl/smtpd.conf": fmt.Sprintf("pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"+
			"sasldb_path: %s/etc/sasl/users\nmech_list: PLAIN LOGIN\n", directory),
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	users := filepath.Join(directory, "etc", "sasl", "users")
	register := exec.Command("/usr/sbin/saslpasswd2", "-c", "-p", "-f", users, "-u", "example.com", "jit")
	register.Stdin = strings.NewReader(Password)
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
func (p *Postfix) start(t *testing.T) {
	t.Helper()
	etc := filepath.Join(p.Directory, "etc")
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
	p.Wait(t, "daemon started", 1)
}

func (o Options) mailboxes() string {
	var all []string
	for _, name := range o.Mailboxes {
		all = append(all, name+"@example.com="+name+"/")
	}
	return strings.Join(all, ", ")
}

func (o Options) gone() string {
	all := []string{"nobody@example.net=nobody@gone.example"} // there must be one
	for _, name := range o.Gone {
		all = append(all, name+"@example.com="+name+"@gone.example")
	}
	return strings.Join(all, ", ")
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

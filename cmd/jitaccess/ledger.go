package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/bearer"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iamcredentials"
	"jitaccess/internal/gcp/secretmanager"
	"jitaccess/internal/jose"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/token"
)

// remembered is the ledger that a configuration names.
type remembered struct {
	home ledger.Home
	// migrate brings the schema up.
	migrate func(context.Context) error
	// examine looks whether everything that it needs of the database is there; it may be nil.
	examine func(context.Context) []firestore.Look
	// file is that of a database in SQLite; where names the database in words, without a secret.
	file, where string
	// paid: each read of it is paid for.
	paid bool
}

// signing is what the entries of a ledger are signed with.
type signing struct {
	ledger.Signer
	// beside is the file of a key that lies beside the database, where whoever writes that
	// folder can approve; empty where the key is kept elsewhere.
	beside string
	// fingerprints are those of keys of one's own, and secrets what they are derived from, the
	// newest first; none where the service account signs.
	fingerprints []string
	secrets      [][]byte
	// tokens signs access tokens of applications; nil where the service account signs.
	tokens *bearer.Signer
}

// inWords says what signs.
func (s signing) inWords() string {
	switch {
	case s.beside != "":
		return "made beside the database: " + s.beside
	case len(s.fingerprints) > 0:
		return "SIGNING_KEY"
	}
	return "the service account"
}

// openLedger opens the database, without asking anything of it. platform is only asked
// for where something is kept as a secret, or a token logs in.
func openLedger(ctx context.Context, c config.Ledger, platform func() (*gcp.Platform, error)) (remembered, error) {
	address, err := keptText(ctx, "DATABASE_URL", c.Database, platform)
	if err != nil {
		return remembered{}, err
	}
	where, err := config.ParseDatabase(address)
	if err != nil {
		return remembered{}, fmt.Errorf("DATABASE_URL %w", err)
	}
	var database *relational.Database
	switch {
	case where.Firestore != config.Firestore{}:
		p, err := platform()
		if err != nil {
			return remembered{}, err
		}
		documents := firestore.New(firestore.Config{Client: p.Client, Endpoint: p.Endpoint("firestore"),
			Project: cmp.Or(where.Firestore.Project, p.Project), Database: where.Firestore.Database})
		return remembered{home: documents, migrate: documents.Prepare, examine: documents.Examine, where: documents.String(), paid: true}, nil
	case where.SQLite != "":
		if c.SigningKey.IsZero() {
			if err = makeKeyBeside(where.SQLite); err != nil {
				return remembered{}, fmt.Errorf("the key that signs what is in the database could not be made beside it: %w", err)
			}
		}
		database, err = relational.SQLite(where.SQLite)
	default:
		database, err = relational.PostgreSQL(where.PostgreSQL.Reveal(), func(ctx context.Context) (string, error) {
			p, err := platform()
			if err != nil {
				return "", err
			}
			return p.DatabaseToken(ctx)
		})
	}
	if err != nil {
		return remembered{}, err
	}
	return remembered{home: database, migrate: database.Migrate, file: where.SQLite,
		where: cmp.Or(where.SQLite, "the PostgreSQL database")}, nil
}

// openSigning reads the keys that sign, or has the service account sign. file is that of a
// database in SQLite, or empty.
func openSigning(ctx context.Context, c config.Ledger, file string, platform func() (*gcp.Platform, error),
	account func() (*ledger.Account, error)) (s signing, err error) {
	var secrets [][]byte
	switch {
	case c.ByAccount():
		s.Signer, err = account()
		return s, err
	case c.SigningKey.IsZero():
		s.beside = file + ".key"
		secrets, err = keyBeside(s.beside)
	default:
		var text string
		if text, err = keptText(ctx, "SIGNING_KEY", c.SigningKey, platform); err == nil {
			secrets, err = config.ParseKeys(text)
		}
	}
	var keys *ledger.Keys
	if err == nil {
		keys, err = ledger.NewKeys(secrets...)
	}
	if err == nil {
		s.tokens, err = bearer.NewSigner(secrets...)
	}
	if err != nil {
		return s, fmt.Errorf("SIGNING_KEY: %w", err)
	}
	s.Signer, s.fingerprints, s.secrets = keys, keys.Fingerprints(), secrets
	return s, nil
}

func keptText(ctx context.Context, name string, text config.StoredText, platform func() (*gcp.Platform, error)) (string, error) {
	if text.Version == "" {
		return text.Value.Reveal(), nil
	}
	p, err := platform()
	if err != nil {
		return "", err
	}
	return oneLine(name, stored(secretmanager.New(p).Access, text))(ctx)
}

// makeKeyBeside makes the key of a database that nothing was written to yet. Any other has its key, or lost it: another
// would sign on in silence, and nothing that is kept would be ours.
func makeKeyBeside(database string) error {
	if info, err := os.Stat(database); err == nil && info.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(database+".key", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrExist) { // a process ended before it made the database
			err = nil
		}
		return err
	}
	key := make([]byte, 32)
	rand.Read(key)
	_, err = file.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	return errors.Join(err, file.Sync(), file.Close())
}

// keyBeside reads the key that lies beside a database.
func keyBeside(path string) ([][]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s, which signs what is in the database, is not there: put it back; where it is lost, make another "+
			"(umask 077; openssl rand -base64 32 > %[1]s), and what is open must be asked again", path)
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %o): chmod 600 it, and change the key", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("%s is empty: where nothing was recorded yet, remove it, as a process may have ended while it made it; "+
			"else put it back", path)
	}
	return config.ParseKeys(strings.TrimSpace(string(text)))
}

// memories are what requests are kept in.
type memories struct {
	store broker.Store
	// ledger is nil where nothing is remembered.
	ledger *ledger.Store
	// key says in words what signs what is remembered.
	key string
	// secrets are what the service's own keys are derived from, the newest first; none where
	// the service account signs.
	secrets [][]byte
	// tokens signs access tokens of applications; nil where nothing does.
	tokens *bearer.Signer
}

// keeper keeps policies; nil where nothing does.
func (m memories) keeper() policyKeeper {
	if m.ledger == nil {
		return nil
	}
	return m.ledger
}

// remember opens what requests are kept in: the ledger, or with Google Cloud their links.
func remember(ctx context.Context, c *config.Config, google *cloud, log *slog.Logger, k clock) (m memories, err error) {
	m.key = "none"
	var links ledger.Links
	if google != nil {
		lifetime := min(c.Requests.Timeout, access.LinkLife)
		if !c.Requests.Policy.IsZero() {
			lifetime = access.LinkLife // a rule may say as much
		}
		tokens := token.NewStore(token.Config{ServiceAccount: google.ServiceAccount, Signer: google.signer, Keys: google.keys,
			Lifetime: lifetime, Now: k.now})
		m.store, links = tokens, tokens
	}
	if !c.Ledger.Database.IsZero() {
		keys := signing{}
		if m.ledger, keys, err = startLedger(ctx, c, google, links, log, k); err != nil {
			return m, err
		}
		m.store, m.key, m.secrets, m.tokens = m.ledger, keys.inWords(), keys.secrets, keys.tokens
	}
	return m, nil
}

// startLedger opens the ledger of the service, and brings its schema up. Where the
// database is out of reach the service starts all the same, says so, and tries again; a
// schema that this version cannot use stops it.
func startLedger(ctx context.Context, c *config.Config, google *cloud, links ledger.Links, log *slog.Logger, k clock) (
	store *ledger.Store, keys signing, err error) {
	l, err := openLedger(ctx, c.Ledger, google.here)
	if err != nil {
		return nil, keys, err
	}
	context.AfterFunc(ctx, func() { l.home.Close() })
	keys, err = openSigning(ctx, c.Ledger, l.file, google.here, func() (*ledger.Account, error) {
		return ledger.NewAccount(ledger.AccountConfig{ServiceAccount: google.ServiceAccount, Signer: google.signer, Keys: google.keys, Now: k.now,
			FirstUsed: func(fingerprint string) {
				log.Info("the service account signs for the ledger with this key", "event", events.Ledger, "fingerprints", fingerprint)
			}}), nil
	})
	if err != nil {
		return nil, keys, err
	}
	var unready atomic.Pointer[access.Error]
	if err = l.migrate(ctx); err != nil {
		if _, newer := errors.AsType[ledger.NewerError](err); newer {
			return nil, keys, err
		}
		unready.Store(unmigrated(err))
		log.Error("the ledger cannot be used now: what needs memory is refused until it can", "event", events.Startup, "error", unready.Load())
		go migrateLater(ctx, l, &unready, log, k)
	}
	if keys.beside != "" {
		log.Warn("SIGNING_KEY is not set: whoever can write the folder of the database can approve", "event", events.Startup)
	}
	// By these, verify tells our signatures from those of whoever wrote the database.
	if len(keys.fingerprints) > 0 {
		log.Info("the ledger's signatures are by these keys", "event", events.Startup, "fingerprints", strings.Join(keys.fingerprints, " "))
	} else {
		log.Warn("SIGNING_KEY is not set: the service account signs for the ledger, and what it has signed is good for six hours",
			"event", events.Startup)
	}
	if google != nil {
		log.Info("what is remembered binds instances with this database alone: one without it, or JIT Access "+
			"1.x, with the same account is a way around",
			"event", events.Startup)
	}
	if c.Ledger.Retention > 0 {
		go daily(ctx, k, func() {
			done, err := ledger.Retain(ctx, l.home, keys, k.now().Add(-c.Ledger.Retention), k.now())
			if err != nil {
				log.Error("personal data could not be erased", "event", events.Ledger, "error", err)
			} else if done.Requests > 0 {
				log.Info("personal data was erased", "event", events.Ledger, "requests", done.Requests)
			}
		})
	}
	store = ledger.New(ledger.Config{Home: durableHome(l.home), Signer: keys, Links: links, Now: k.now, Random: rand.Reader,
		Unready: unready.Load, Paid: l.paid,
		PutAside: func(m ledger.Unreadable) {
			log.Error("a message cannot be read, and nobody was told: tell those of the request, then run jitaccess ledger outbox",
				"event", events.Ledger, "message", m.ID, "request", m.Request, "error", m.Err)
		}})
	if len(keys.fingerprints) > 0 {
		go every(ctx, k, 24*time.Hour, func() {
			if n, err := store.RenewDeeds(ctx); err != nil {
				log.Error("what was signed with another key could not all be signed anew: leave that key in SIGNING_KEY", "event", events.Ledger,
					"error", err)
			} else if n > 0 {
				log.Info("what was signed with another key was signed anew", "event", events.Ledger, "chains", n)
			}
		})
	}
	go daily(ctx, k, func() {
		head, err := store.Head(ctx, k.now().Add(-headLag))
		if err != nil {
			log.Error("the head of the ledger could not be computed", "event", events.Ledger, "error", err)
			return
		}
		log.Info("the head of the ledger", "event", events.Ledger, "at", head.At.UTC().Format(time.RFC3339Nano), "requests", head.Requests,
			"events", head.Events, "digest", head.Digest)
	})
	return store, keys, nil
}

func unmigrated(err error) *access.Error {
	return &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable,
		Err: fmt.Errorf("its schema could not be brought up: %w", err)}
}

// migrateLater brings the schema up once the database can be reached, and says in unready
// why it is not yet. A schema of a newer version is left alone: that instance has to go.
func migrateLater(ctx context.Context, l remembered, unready *atomic.Pointer[access.Error], log *slog.Logger, k clock) {
	for wait := time.Second; k.sleep(ctx, wait) == nil; wait = min(2*wait, time.Minute) {
		err := l.migrate(ctx)
		if err == nil {
			unready.Store(nil)
			log.Info("the ledger can be used now", "event", events.Ledger)
			return
		}
		unready.Store(unmigrated(err))
		if _, newer := errors.AsType[ledger.NewerError](err); newer {
			log.Error("the ledger cannot be used by this version", "event", events.Ledger, "error", err)
			l.home.Close()
			return
		}
	}
}

// headLag is how far a head lies back: whatever is to be recorded of then, has been.
const headLag = 10 * time.Minute

// daily does what reads the whole ledger: not when a process starts, since many do.
func daily(ctx context.Context, k clock, do func()) {
	if k.sleep(ctx, time.Hour) == nil {
		every(ctx, k, 24*time.Hour, do)
	}
}

// every does something now, and again after each time, until ctx ends.
func every(ctx context.Context, k clock, after time.Duration, do func()) {
	for do(); k.sleep(ctx, after) == nil; {
		do()
	}
}

const ledgerUsage = `Usage: jitaccess ledger COMMAND [options]
  jitaccess ledger verify [--export FILE] [--fingerprints FILE] [--head FILE]
  jitaccess ledger export [--format jsonl|csv]
  jitaccess ledger policies [--digest DIGEST] [--export FILE --fingerprints FILE]
  jitaccess ledger migrate
  jitaccess ledger outbox [--again | --drop]
  jitaccess ledger erase --person ADDRESS [--yes]

DATABASE_URL and SIGNING_KEY say which ledger (docs/ledger.md).
verify exits with 0 when all is as it was recorded, with 1 when something is not, and
with 2 when it cannot be read. outbox lists the messages that could not be read and were
put aside, and exits with 1 when there are any. policies lists those that were taken, the newest
first; with --digest it prints the text of one, by which requests and pages name it.
`

// runLedger is what an operator does with the ledger itself.
func runLedger(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, ledgerUsage)
		return exitUsage
	}
	if asksForHelp(args[:1]) {
		fmt.Fprint(stdout, ledgerUsage)
		return exitOK
	}
	flags := newFlags("ledger "+args[0], stderr)
	l := ledgerCommand{stdin: stdin, stdout: stdout}
	var act func(context.Context) (int, error)
	switch args[0] {
	case "verify":
		act = l.verify
		l.elsewhere(flags)
		flags.StringVar(&l.head, "head", "", "heads as the journal has them, one JSON object a line")
	case "export":
		act = l.write
		flags.StringVar(&l.format, "format", "jsonl", "jsonl, which can be verified, or csv, for spreadsheets")
	case "policies":
		act = l.policies
		l.elsewhere(flags)
		flags.StringVar(&l.digest, "digest", "", "the digest of one, or as much of its beginning as a page shows")
	case "migrate":
		act = func(ctx context.Context) (int, error) { return exitOK, l.migrate(ctx) }
		l.unsigned = true
	case "outbox":
		act = l.outbox
		flags.BoolVar(&l.again, "again", false, "have what was put aside tried again, once a version runs that can read it")
		flags.BoolVar(&l.drop, "drop", false, "forget what was put aside, once its people were told otherwise")
		l.unsigned = true
	case "erase":
		act = l.erase
		flags.StringVar(&l.person, "person", "", "whose personal data is erased")
		flags.BoolVar(&l.yes, "yes", false, "do not ask")
	default:
		fmt.Fprintf(stderr, "jitaccess: there is no command %q\n\n%s", "ledger "+args[0], ledgerUsage)
		return exitUsage
	}
	if code, ok := parsed(flags, args[1:], stdout, stderr); !ok {
		return code
	}
	code, err := l.open(ctx, env)
	if err == nil {
		if l.home != nil {
			defer l.home.Close()
		}
		code, err = act(ctx)
	}
	if err != nil {
		return failed(stderr, max(code, exitFailure), err)
	}
	return code
}

// elsewhere are the flags of what can be done without the database and its keys.
func (l *ledgerCommand) elsewhere(flags *flag.FlagSet) {
	flags.StringVar(&l.export, "export", "", "what was exported with --format jsonl, in place of the database")
	flags.StringVar(&l.fingerprints, "fingerprints", "", "fingerprints of keys that are believed, one a line, in place of SIGNING_KEY")
}

type ledgerCommand struct {
	remembered
	signer                                     ledger.Signer
	export, fingerprints, head, format, person string
	digest                                     string
	// unsigned: no signature is made or verified.
	yes, again, drop, unsigned bool
	stdin                      io.Reader
	stdout                     io.Writer
}

func (l *ledgerCommand) open(ctx context.Context, env func(string) string) (int, error) {
	if l.fingerprints != "" || l.export != "" {
		known, err := fingerprintsIn(l.fingerprints)
		if err != nil {
			return exitUsage, err
		}
		l.signer = known
	}
	if l.export != "" {
		file, err := os.Open(l.export)
		if err != nil {
			return exitUsage, err
		}
		defer file.Close()
		l.home, err = ledger.ReadExport(file)
		return exitUsage, err
	}
	c, err := config.ReadLedger(env)
	if err != nil {
		return exitUsage, fmt.Errorf("the configuration is wrong\n%w", err)
	}
	if c.Database.Version == "" {
		if where, err := config.ParseDatabase(c.Database.Value.Reveal()); err == nil && where.SQLite != "" {
			if _, err := os.Stat(where.SQLite); err != nil {
				// Only the service makes one.
				return exitUsage, fmt.Errorf("there is no database where DATABASE_URL says; the service makes it when it starts: %w", err)
			}
		}
	}
	here := func() (*gcp.Platform, error) {
		return locate(ctx, &config.Config{Google: config.Google{Used: true, Project: env("GOOGLE_CLOUD_PROJECT"),
			Endpoint: env("JITACCESS_GOOGLE_ENDPOINT")}})
	}
	l.remembered, err = openLedger(ctx, c, here)
	if l.signer == nil && err == nil && !l.unsigned {
		l.signer, err = openSigning(ctx, c, l.file, here, func() (*ledger.Account, error) { return accountOf(here) })
	}
	return exitUsage, err
}

// accountOf has the service's account sign, for whoever acts as it.
func accountOf(here func() (*gcp.Platform, error)) (*ledger.Account, error) {
	platform, err := here()
	if err != nil {
		return nil, err
	}
	return ledger.NewAccount(ledger.AccountConfig{ServiceAccount: platform.ServiceAccount, Signer: iamcredentials.New(platform),
		Now: wallClock.now, Keys: jose.NewKeySet(platform.ServiceAccountKeys, wallClock.now)}), nil
}

// fingerprintsIn reads a file of them; of no file there are none.
func fingerprintsIn(path string) (ledger.Fingerprints, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	return ledger.Fingerprints(strings.Fields(string(text))), err
}

func headsIn(path string) ([]access.Head, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var heads []access.Head
	for decoder := json.NewDecoder(file); ; {
		var h access.Head
		if err := decoder.Decode(&h); errors.Is(err, io.EOF) {
			if len(heads) == 0 { // held against nothing, a ledger that was cut would be fine
				return nil, fmt.Errorf("%s holds no head; the log has one a day (event ledger.maintain): add it, or leave --head out", path)
			}
			return heads, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		heads = append(heads, h)
	}
}

func (l *ledgerCommand) verify(ctx context.Context) (int, error) {
	heads, err := headsIn(l.head)
	if err != nil {
		return exitUsage, err
	}
	report, err := ledger.Verify(ctx, l.home, l.signer, heads...)
	if err != nil {
		return exitUsage, fmt.Errorf("the ledger cannot be read: %w", err)
	}
	for _, f := range report.Findings {
		fmt.Fprintln(l.stdout, access.Visible(strings.TrimPrefix(f.ID+": "+f.What, ": "))) // who wrote the database wrote some of it
	}
	fmt.Fprintf(l.stdout, "%s, %s; %d with erased data; %s; ", access.Counted(report.Requests, "request", "requests"),
		access.Counted(report.Events, "event", "events"), report.Erased, access.Counted(report.Policies, "policy", "policies"))
	if report.Deeds > 0 {
		fmt.Fprintf(l.stdout, "%s, %s signed with a passkey; ", access.Counted(report.Deeds, "deed", "deeds"),
			access.Counted(report.Signed, "approval", "approvals"))
	}
	switch {
	case len(report.Findings) > 0:
		fmt.Fprintf(l.stdout, "%s\n", access.Counted(len(report.Findings), "finding", "findings"))
		return exitFailure, nil
	case report.SelfAttested > 0 && l.fingerprints != "":
		fmt.Fprintf(l.stdout, "%s by keys whose fingerprints are not in %s\n",
			access.Counted(report.SelfAttested, "signature is", "signatures are"), l.fingerprints)
		return exitFailure, nil
	case report.SelfAttested > 0:
		fmt.Fprintf(l.stdout, "self-attested: %s by keys that nothing here vouches for\n",
			access.Counted(report.SelfAttested, "signature is", "signatures are"))
		return exitOK, nil
	}
	fmt.Fprintln(l.stdout, "fine")
	return exitOK, nil
}

func (l *ledgerCommand) write(ctx context.Context) (int, error) {
	switch l.format {
	case "jsonl":
		return exitOK, ledger.ExportLines(ctx, l.home, l.stdout)
	case "csv":
		return exitOK, ledger.ExportTable(ctx, l.home, l.signer, l.stdout)
	}
	return exitUsage, fmt.Errorf("the format %q is neither jsonl nor csv", l.format)
}

// policies lists the policies that were taken, or prints the text of one. What no key of the
// service has signed is nobody's policy.
func (l *ledgerCommand) policies(ctx context.Context) (int, error) {
	if l.export != "" && l.fingerprints == "" { // anybody can have written them
		return exitUsage, errors.New("policies of an export are told by the keys that have signed them: --fingerprints is missing")
	}
	kept, err := ledger.Policies(ctx, l.home, l.signer)
	if err != nil {
		return exitUsage, fmt.Errorf("the ledger cannot be read: %w", err)
	}
	for _, p := range kept {
		switch {
		case l.digest == "":
			fmt.Fprintf(l.stdout, "%s %s, %d bytes\n", p.Made.UTC().Format(time.RFC3339), p.Digest(), len(p.Text))
		case strings.HasPrefix(p.Digest(), l.digest):
			_, err := l.stdout.Write(p.Text)
			return exitOK, err
		}
	}
	if l.digest != "" {
		return exitFailure, fmt.Errorf("no policy was taken whose digest begins with %q", l.digest)
	}
	return exitOK, nil
}

// outbox lists the messages that were put aside, and does with them what is asked for.
func (l *ledgerCommand) outbox(ctx context.Context) (int, error) {
	if l.again && l.drop {
		return exitUsage, errors.New("--again and --drop at once")
	}
	aside, err := ledger.Aside(ctx, l.home)
	for _, m := range aside {
		what := "put aside"
		switch {
		case l.drop:
			what, err = "dropped", errors.Join(err, l.home.Drop(ctx, m.ID, ""))
		case l.again:
			what, err = "tried again", errors.Join(err, l.home.Delay(ctx, ledger.Kept{ID: m.ID}, wallClock.now()))
		}
		why := "it can be read now"
		if m.Err != nil {
			why = m.Err.Error()
		}
		fmt.Fprintf(l.stdout, "%s: %s: a message of request %s, of %s: %s\n", access.Visible(m.ID), what, access.Visible(m.Request),
			m.Made.UTC().Format(time.RFC3339), access.Visible(why))
	}
	fmt.Fprintf(l.stdout, "%s\n", access.Counted(len(aside), "message", "messages"))
	if len(aside) > 0 && !l.again && !l.drop {
		return exitFailure, err
	}
	return exitOK, err
}

func (l *ledgerCommand) erase(ctx context.Context) (int, error) {
	person, err := access.ParsePrincipal(l.person)
	if err != nil {
		return exitUsage, fmt.Errorf("--person: %w", err)
	}
	if !l.yes {
		fmt.Fprintf(l.stdout, "Everything that says %s is erased, for good. Type the address again: ", person)
		line, _ := bufio.NewReader(l.stdin).ReadString('\n')
		if strings.TrimSpace(line) != string(person) {
			return exitFailure, errors.New("nothing was erased")
		}
	}
	done, err := ledger.ErasePerson(ctx, l.home, l.signer, person, wallClock.now())
	fmt.Fprintf(l.stdout, "erased in %s; %s kept\n", access.Counted(done.Requests, "request", "requests"),
		access.Counted(done.Kept, "is not over yet and was", "are not over yet and were"))
	if err != nil {
		return exitFailure, fmt.Errorf("not everything was erased: %w", err)
	}
	return exitOK, nil
}

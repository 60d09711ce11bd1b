// Release makes what is published of jitaccess: the program for several platforms, each in an
// archive, and an image of it for two architectures. It needs Go alone, no container daemon.
// The same source, version and time give the same bytes wherever and whenever it runs
// (docs/releases.md).
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// platform is a system and an architecture, by the names that Go and images give them.
type platform struct{ system, architecture string }

func (p platform) String() string { return p.system + "/" + p.architecture }

// published are the platforms that a release is for. Those of Linux are in the image.
var published = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

func parsePlatforms(text string) ([]platform, error) {
	var all []platform
	for name := range strings.SplitSeq(text, ",") {
		system, architecture, ok := strings.Cut(name, "/")
		if !ok || system == "" || architecture == "" {
			return nil, fmt.Errorf("%q is no platform: write SYSTEM/ARCHITECTURE, such as linux/amd64", name)
		}
		all = append(all, platform{system, architecture})
	}
	return all, nil
}

func platformNames(all []platform) string {
	var names []string
	for _, p := range all {
		names = append(names, p.String())
	}
	return strings.Join(names, ",")
}

// edition says which state of the source something is made of.
type edition struct {
	version, revision string
	// at is when the revision was made. It is written instead of the time of the build.
	at time.Time
}

// A version becomes the tag of an image, a name of files, and an argument of the linker.
var versionPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var e edition
	flags.StringVar(&e.version, "version", "", "what the program says of itself, and the tag of the image")
	flags.StringVar(&e.revision, "revision", "", "the commit that the source is of")
	seconds := flags.Int64("time", 0, "when that commit was made, in seconds since 1970: git log -1 --format=%ct")
	source := flags.String("source", ".", "the folder of the source")
	out := flags.String("out", "dist", "the folder that it is written to")
	names := flags.String("platforms", platformNames(published), "SYSTEM/ARCHITECTURE, separated by commas")
	imageOnly := flags.Bool("image", false, "make the image alone, for those of the platforms that are Linux")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	platforms, err := parsePlatforms(*names)
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("it takes no argument %q", flags.Arg(0))
	case !versionPattern.MatchString(e.version):
		err = fmt.Errorf("--version %q: it must be letters, digits, dots, underscores and hyphens, at most 128, and begin with a letter or digit",
			e.version)
	}
	if err != nil {
		fmt.Fprintf(stderr, "release: %v\n", err)
		return exitUsage
	}
	e.at = time.Unix(*seconds, 0).UTC()
	r := releaser{edition: e, source: *source, out: *out, build: goBuild, stdout: stdout}
	if err := r.release(ctx, platforms, *imageOnly); err != nil {
		fmt.Fprintf(stderr, "release: %v\n", err)
		return exitFailure
	}
	return exitOK
}

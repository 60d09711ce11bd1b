package main

import (
	"encoding/json"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every picture that the README shows is there, small, and said in words.
func TestTheReadmesPicturesExist(t *testing.T) {
	readme := document(t, "../README.md")
	shown := regexp.MustCompile(`<img [^>]*>|!\[[^\]]*\]\([^)]*\)`).FindAllString(readme, -1)
	if len(shown) != 3 {
		t.Errorf("%d pictures", len(shown))
	}
	for _, tag := range shown {
		found := regexp.MustCompile(`^<img src="(docs/pictures/[a-z]+\.png)" width="\d+" alt="([^"]{60,})">$`).FindStringSubmatch(tag)
		if found == nil {
			t.Errorf("it has no file, no width, or no text of some length: %s", tag)
			continue
		}
		file, err := os.Open("../../" + found[1])
		if err != nil {
			t.Error(err)
			continue
		}
		defer file.Close()
		if about, err := file.Stat(); err != nil || about.Size() > maxPicture {
			t.Errorf("%s: %v, or more than %d bytes", found[1], err, maxPicture)
		}
		if _, err := png.Decode(file); err != nil {
			t.Errorf("%s: %v", found[1], err)
		}
	}
}

// What the README's tour sets in italics is a control, or an application, by the name that it
// has on the pages.
func TestTheReadmesTourNamesControlsThatExist(t *testing.T) {
	_, tour, _ := strings.Cut(document(t, "../README.md"), "\n## A tour\n")
	tour, _, _ = strings.Cut(tour, "\n## ")
	texts := map[string]bool{"deployer": true}
	var words map[string]string
	if err := json.Unmarshal([]byte(document(t, "../internal/words/languages/en.json")), &words); err != nil {
		t.Fatal(err)
	}
	for _, text := range words {
		texts[text] = true
	}
	pages, err := filepath.Glob("../../internal/sandbox/pages/*.html")
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages of the sandbox", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range regexp.MustCompile(`>([^<>{}\n]+)<|\{\{else\}\}([^<>{}\n]+)\{\{end\}\}`).FindAllStringSubmatch(string(text), -1) {
			texts[shown[1]+shown[2]] = true
		}
	}
	named := regexp.MustCompile(`(?:^|[^*])\*([A-Z][^*]+|deployer)\*(?:[^*]|$)`).FindAllStringSubmatch(tour, -1)
	for _, n := range named {
		if !texts[n[1]] {
			t.Errorf("no page has %q", n[1])
		}
	}
	if len(named) < 15 {
		t.Errorf("only %d controls", len(named))
	}
}

// Every document is listed once: one that is not is not found, and two lists that were merged say
// everything twice.
func TestEveryDocumentIsListedOnce(t *testing.T) {
	listed := map[string]int{}
	for _, link := range regexp.MustCompile(`\]\(([a-z-]+(?:\.md|\.yaml|/README\.md|/))\)`).FindAllStringSubmatch(document(t, "README.md"), -1) {
		listed[link[1]]++
	}
	entries, err := os.ReadDir("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == "README.md" || name == "pictures" || strings.HasSuffix(name, ".go"):
			continue
		case name == "mail":
			name += "/README.md"
		case e.IsDir():
			name += "/"
		}
		if listed[name] != 1 {
			t.Errorf("%s is listed %d times", name, listed[name])
		}
	}
	if len(listed) < 30 {
		t.Errorf("only %d documents", len(listed))
	}
}

// The README is for a first look: the list of documents, and whatever else grows, is elsewhere.
func TestTheReadmeIsShort(t *testing.T) {
	if lines := strings.Count(document(t, "../README.md"), "\n"); lines > 95 {
		t.Errorf("%d lines", lines)
	}
}

// Of two assignments of one variable the later holds, and what the earlier one names is not there.
func TestTheMakefileSetsEachVariableOnce(t *testing.T) {
	set := map[string]bool{}
	for _, assignment := range regexp.MustCompile(`(?m)^([A-Z_]+) :?=`).FindAllStringSubmatch(document(t, "../Makefile"), -1) {
		if set[assignment[1]] {
			t.Errorf("%s is set twice", assignment[1])
		}
		set[assignment[1]] = true
	}
	if !set["PACKAGES"] {
		t.Error("PACKAGES is not set")
	}
}

// Who watches the service reads a detail of /health/ready: each is explained, and no other.
func TestEveryDetailOfHealthIsExplained(t *testing.T) {
	made := map[string]bool{}
	for _, folder := range []string{".", "../../internal/identity"} {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range regexp.MustCompile(`"([A-Z][A-Za-z]+(?:Is|Are)[A-Z][A-Za-z]+)"`).FindAllSubmatch(text, -1) {
				made[string(name[1])] = true
			}
		}
	}
	if len(made) < 16 {
		t.Errorf("only %d details: %v", len(made), made)
	}
	explained := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[A-Z][^|]*) \\|").FindAllStringSubmatch(document(t, "health.md"), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			explained[strings.Trim(name, "`")] = true
		}
	}
	if !maps.Equal(made, explained) {
		t.Errorf("the service has %v,\nand docs/health.md %v", slices.Sorted(maps.Keys(made)), slices.Sorted(maps.Keys(explained)))
	}
}

# Reads go test -v ./... and prints a line for each package, everything that a
# failed one wrote, and the counts. A test that skips itself fails the run: what
# it needs was to be installed. Only one that says "NAME: NOT RUN" before does not:
# that is of what no registry has.

/^=== (RUN|PAUSE|CONT|NAME)/ { next }
/^ *--- PASS/ { passed++; next }
/^ *--- FAIL/ { failed++ }
/^ *--- SKIP/ { print; if (!($3 in missing)) skipped++; next }
/^Test[^ ]*: NOT RUN/ { missing[substr($1, 1, length($1) - 1)] }
/NOT RUN/      { print; next }
/^ok  \t/     { packages++; buffer = ""; print; fflush(); next }
/^\?   \t/    { next }
/^FAIL\t/     { broken++; printf "%s", buffer; buffer = ""; print; fflush(); next }
/^(PASS|FAIL)$/ { next }
              { buffer = buffer $0 "\n" }
END {
	printf "%s", buffer
	printf "%d tests passed, %d failed, %d skipped; %d packages passed, %d failed\n", passed, failed, skipped, packages, broken
	if (failed + skipped + broken > 0 || passed == 0) exit 1
}

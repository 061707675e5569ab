# For those whose fingers type make; see make.sh.
.PHONY: image boot test test-all bench
image boot test test-all bench:
	./make.sh $@

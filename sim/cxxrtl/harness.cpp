// Around one design in CXXRTL: instances, a clock, and streams served for many cycles a call.
//
// Included at compile time: `design.cc` (yosys) and `ports.inc` (OHMGRID_INPUTS and OHMGRID_OUTPUTS,
// one X(member) for each port, in the order Python numbers them; OHMGRID_CLOCKED, OHMGRID_RESET).
// OHMGRID_SINGLE_PASS says that `design.cc` settles in one evaluation and takes `clk` as "this
// evaluation is a clock edge": then a cycle is one evaluation, whose outputs are those before the
// edge, and one commit. Without it a cycle is CXXRTL's own two half cycles.

// Addresses that nobody uses may point outside a memory; that is no fault of the design.
#define CXXRTL_NDEBUG
#include <cxxrtl/cxxrtl.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

namespace ohmgrid {

// Chunk `C` of `v`, shifted up by `Shift` of a 64-bit word; nothing outside of either.
template<int C, int Shift, size_t Bits>
CXXRTL_ALWAYS_INLINE uint64_t chunk(const cxxrtl::value<Bits> &v) {
	if constexpr (C < 0 || C >= int(cxxrtl::value<Bits>::chunks) || Shift >= 64)
		return 0;
	else if constexpr (Shift < 0)
		return uint64_t(v.data[C]) >> -Shift;
	else
		return uint64_t(v.data[C]) << Shift;
}

// 64 bits of `v` from bit `At` on, which may be negative; zeros outside. No loop over the chunks:
// compilers do not unroll it for long values.
template<int At, size_t Bits>
CXXRTL_ALWAYS_INLINE uint64_t field(const cxxrtl::value<Bits> &v) {
	constexpr int first = At >= 0 ? At / 32 : -((31 - At) / 32);
	constexpr int shift = 32 * first - At;
	return chunk<first, shift>(v) | chunk<first + 1, shift + 32>(v) | chunk<first + 2, shift + 64>(v);
}

// A value out of its 64-bit words, the lowest first.
template<size_t Bits, class... Word>
CXXRTL_ALWAYS_INLINE cxxrtl::value<Bits> words(Word... word) {
	const uint64_t all[] = {word...};
	cxxrtl::value<Bits> v;
	for (size_t c = 0; c < v.chunks; c++)
		v.data[c] = uint32_t(all[c / 2] >> (32 * (c % 2)));
	return v;
}

// Replace those bits of the 64-bit word `Word` of `v` that `mask` names.
template<size_t Word, size_t Bits>
CXXRTL_ALWAYS_INLINE void blend(cxxrtl::value<Bits> &v, uint64_t bits, uint64_t mask) {
	v.data[2 * Word] = (v.data[2 * Word] & ~uint32_t(mask)) | uint32_t(bits & mask);
	if constexpr (2 * Word + 1 < cxxrtl::value<Bits>::chunks) {
		uint32_t &high = v.data[2 * Word + 1];
		high = (high & ~uint32_t(mask >> 32)) | uint32_t((bits & mask) >> 32);
	}
}

// All bits of a 64-bit word equal to bit `Bit` of `v`.
template<size_t Bit, size_t Bits>
CXXRTL_ALWAYS_INLINE uint64_t spread(const cxxrtl::value<Bits> &v) {
	return 0 - uint64_t(v.data[Bit / 32] >> (Bit % 32) & 1);
}

// Cells up to 64 bits as one machine operation, without CXXRTL's loops and branches.
template<size_t... Bits>
constexpr bool narrow = ((Bits <= 64) && ...);

template<size_t Bits>
CXXRTL_ALWAYS_INLINE uint64_t zero_extended(const cxxrtl::value<Bits> &v) {
	uint64_t bits = v.data[0];
	if constexpr (Bits > 32)
		bits |= uint64_t(v.data[1]) << 32;
	return bits;
}

template<size_t Bits>
CXXRTL_ALWAYS_INLINE int64_t sign_extended(const cxxrtl::value<Bits> &v) {
	return int64_t(zero_extended(v) << (64 - Bits)) >> (64 - Bits);
}

template<size_t Bits>
CXXRTL_ALWAYS_INLINE cxxrtl::value<Bits> truncated(uint64_t bits) {
	return words<Bits>(Bits < 64 ? bits & (~0ull >> (64 - Bits) % 64) : bits);
}

#define OHMGRID_BINARY(name, extended, operation) \
	template<size_t Y, size_t A, size_t B> \
	CXXRTL_ALWAYS_INLINE cxxrtl::value<Y> name(const cxxrtl::value<A> &a, const cxxrtl::value<B> &b) { \
		if constexpr (narrow<Y, A, B>) { \
			const auto x = extended(a), y = extended(b); \
			return truncated<Y>(operation); \
		} else { \
			return cxxrtl_yosys::name<Y>(a, b); \
		} \
	}
#define OHMGRID_UNARY(name, extended, operation) \
	template<size_t Y, size_t A> \
	CXXRTL_ALWAYS_INLINE cxxrtl::value<Y> name(const cxxrtl::value<A> &a) { \
		if constexpr (narrow<Y, A>) { \
			const auto x = extended(a); \
			return truncated<Y>(operation); \
		} else { \
			return cxxrtl_yosys::name<Y>(a); \
		} \
	}
// Products wrap around as unsigned ones, which have the same low bits.
#define OHMGRID_BOTH(binary_uu, binary_ss, operation) \
	OHMGRID_BINARY(binary_uu, zero_extended, operation) \
	OHMGRID_BINARY(binary_ss, sign_extended, operation)
OHMGRID_BOTH(add_uu, add_ss, uint64_t(x) + uint64_t(y))
OHMGRID_BOTH(sub_uu, sub_ss, uint64_t(x) - uint64_t(y))
OHMGRID_BOTH(mul_uu, mul_ss, uint64_t(x) * uint64_t(y))
OHMGRID_BOTH(and_uu, and_ss, x & y)
OHMGRID_BOTH(or_uu, or_ss, x | y)
OHMGRID_BOTH(xor_uu, xor_ss, x ^ y)
OHMGRID_BOTH(eq_uu, eq_ss, x == y)
OHMGRID_BOTH(ne_uu, ne_ss, x != y)
OHMGRID_BOTH(lt_uu, lt_ss, x < y)
OHMGRID_BOTH(le_uu, le_ss, x <= y)
OHMGRID_BOTH(gt_uu, gt_ss, x > y)
OHMGRID_BOTH(ge_uu, ge_ss, x >= y)
OHMGRID_UNARY(not_u, zero_extended, ~x)
OHMGRID_UNARY(not_s, sign_extended, ~x)
OHMGRID_UNARY(neg_u, zero_extended, 0 - uint64_t(x))
OHMGRID_UNARY(neg_s, sign_extended, 0 - uint64_t(x))
OHMGRID_UNARY(reduce_or, zero_extended, x != 0)
OHMGRID_UNARY(reduce_bool, zero_extended, x != 0)
OHMGRID_UNARY(reduce_and, zero_extended, x == (A < 64 ? ~0ull >> (64 - A) % 64 : ~0ull))
OHMGRID_UNARY(reduce_xor, zero_extended, __builtin_parityll(x))
OHMGRID_UNARY(logic_not, zero_extended, x == 0)

// `condition ? yes : no` without a branch: noise makes it unpredictable.
template<size_t C, size_t Bits>
CXXRTL_ALWAYS_INLINE cxxrtl::value<Bits> pick(const cxxrtl::value<C> &condition,
		const cxxrtl::value<Bits> &yes, const cxxrtl::value<Bits> &no) {
	const uint32_t mask = 0 - uint32_t(bool(condition));
	cxxrtl::value<Bits> v;
	for (size_t c = 0; c < v.chunks; c++)
		v.data[c] = (yes.data[c] & mask) | (no.data[c] & ~mask);
	return v;
}

// A memory write, unless its mask is empty: CXXRTL would queue that too.
template<size_t Bits>
CXXRTL_ALWAYS_INLINE void write(cxxrtl::memory<Bits> &memory, size_t index,
		const cxxrtl::value<Bits> &v, const cxxrtl::value<Bits> &mask, int priority) {
	if (mask)
		memory.update(index, v, mask, priority);
}

// Nonzero where two values differ.
template<size_t Bits>
CXXRTL_ALWAYS_INLINE uint32_t changed(const cxxrtl::value<Bits> &a, const cxxrtl::value<Bits> &b) {
	uint32_t difference = 0;
	for (size_t c = 0; c < a.chunks; c++)
		difference |= a.data[c] ^ b.data[c];
	return difference;
}

// Commit a register; nonzero where that changes it.
template<size_t Bits>
CXXRTL_ALWAYS_INLINE uint32_t take(cxxrtl::wire<Bits> &w) {
	const uint32_t difference = changed(w.curr, w.next);
	w.curr = w.next;
	return difference;
}

} // namespace ohmgrid

#include "design.cc"
#include "ports.inc"

namespace {

struct Port {
	uint32_t *data;
	unsigned chunks;

	void put(const uint64_t *from) const {
		for (unsigned c = 0; c < chunks; c++)
			data[c] = uint32_t(from[c / 2] >> (32 * (c % 2)));
	}
	void take(uint64_t *to) const {
		for (unsigned c = 0; c < chunks; c += 2)
			to[c / 2] = data[c] | (c + 1 < chunks ? uint64_t(data[c + 1]) << 32 : 0);
	}
};

template<size_t Bits>
Port port(cxxrtl::value<Bits> &v) { return {v.data, unsigned(v.chunks)}; }
template<size_t Bits>
Port port(cxxrtl::wire<Bits> &w) { return {w.curr.data, unsigned(w.curr.chunks)}; }

// Keeps the first failed Assert instead of ending the process.
struct Checker : cxxrtl::performer {
	std::string message;
	void on_check(cxxrtl::flavor type, bool condition, const cxxrtl::lazy_fmt &formatter,
			const cxxrtl::metadata_map &) override {
		const bool required = type == cxxrtl::flavor::ASSERT || type == cxxrtl::flavor::ASSUME;
		if (required && !condition && message.empty())
			message = "Assert failed: " + formatter();
	}
};

// One value of a waveform.
struct Wave {
	const uint32_t *data;
	unsigned bits;
	std::vector<uint32_t> shown;
};

template<size_t Bits>
Wave wave(const cxxrtl::value<Bits> &v) { return {v.data, Bits, {}}; }
template<size_t Bits>
Wave wave(const cxxrtl::wire<Bits> &w) { return {w.curr.data, Bits, {}}; }

// Writes the body of a VCD file: what has changed, cycle by cycle. The clock has number 0.
struct Watcher {
	std::vector<Wave> waves;
	FILE *file = nullptr;
	uint64_t cycle = 0;
	int error = 0;

	void sample() {
		fprintf(file, "#%llu\n10\n", (unsigned long long)(2 * cycle));
		for (size_t k = 0; k < waves.size(); k++) {
			Wave &wave = waves[k];
			const unsigned chunks = (wave.bits + 31) / 32;
			if (!wave.shown.empty() && !memcmp(wave.shown.data(), wave.data, 4 * chunks))
				continue;
			wave.shown.assign(wave.data, wave.data + chunks);
			if (wave.bits == 1) {
				fprintf(file, "%c%zx\n", '0' + int(wave.data[0] & 1), k + 1);
				continue;
			}
			// Zeros in front are left out.
			unsigned bits = wave.bits;
			while (bits > 1 && !(wave.data[(bits - 1) / 32] >> (bits - 1) % 32 & 1))
				bits--;
			std::string text = "b";
			while (bits--)
				text += char('0' + (wave.data[bits / 32] >> bits % 32 & 1));
			fprintf(file, "%s %zx\n", text.c_str(), k + 1);
		}
		fprintf(file, "#%llu\n00\n", (unsigned long long)(2 * cycle + 1));
		cycle++;
		if (ferror(file) && !error)
			error = errno ? errno : EIO;
	}
};

enum Status { DONE = 0, TIMEOUT = 1, FAILED = 2 };

struct Simulation {
	cxxrtl_design::p_top top;
	Checker checker;
	std::vector<Port> ports;
	uint64_t cycles = 0;
	bool settled = false;
	std::unique_ptr<Watcher> watcher;

	Simulation() {
#define X(member) ports.push_back(port(top.member));
		OHMGRID_INPUTS
		OHMGRID_OUTPUTS
#undef X
		top.commit();  // submodules' outputs follow their registers from here on
	}

	void clock(uint32_t level) {
		(void)level;
#if OHMGRID_CLOCKED
		top.p_clk.data[0] = level;
#endif
	}

	// Outputs as they are before the next edge.
	void settle() {
		if (settled)
			return;
		clock(0);
#if OHMGRID_SINGLE_PASS
		top.eval(&checker);
#else
		top.step(&checker);
#endif
		settled = true;
	}

	// First half of a cycle: afterwards the outputs are those that the edge sees.
	void before_edge() {
#if OHMGRID_SINGLE_PASS
		clock(1);
		top.eval(&checker);
#else
		settled = false;
		settle();
#endif
	}

	void edge() {
		if (watcher)
			watcher->sample();
#if OHMGRID_SINGLE_PASS
		top.commit();
#else
		clock(1);
		top.step(&checker);
#endif
		settled = false;
		cycles++;
	}
};

// A stream and the words to be moved through it. Ports are numbers, -1 for a constant 1.
struct Stream {
	int32_t payload, valid, ready;
	uint32_t idle;   // of 65536: chance that a free stream waits for a cycle more
	uint64_t *data;  // words of as many 64-bit columns as the payload needs
	uint64_t count;
	uint64_t moved;  // result
};

struct Random {  // xorshift64*
	uint64_t state;
	uint32_t bits16() {
		state ^= state >> 12;
		state ^= state << 25;
		state ^= state >> 27;
		return uint32_t((state * 0x2545F4914F6CDD1Dull) >> 48);
	}
};

} // namespace

#define OHMGRID_API extern "C" __attribute__((visibility("default")))

OHMGRID_API Simulation *ohmgrid_new() { return new Simulation; }
OHMGRID_API void ohmgrid_free(Simulation *s) { delete s; }
OHMGRID_API uint64_t ohmgrid_cycles(Simulation *s) { return s->cycles; }
OHMGRID_API const char *ohmgrid_message(Simulation *s) { return s->checker.message.c_str(); }

OHMGRID_API void ohmgrid_set(Simulation *s, uint32_t port, const uint64_t *words) {
	s->ports[port].put(words);
	s->settled = false;
}

OHMGRID_API int ohmgrid_get(Simulation *s, uint32_t port, uint64_t *words) {
	s->settle();
	s->ports[port].take(words);
	return s->checker.message.empty() ? DONE : FAILED;
}

OHMGRID_API int ohmgrid_step(Simulation *s, uint64_t cycles) {
	for (uint64_t c = 0; c < cycles; c++) {
		s->before_edge();
		s->edge();
		if (!s->checker.message.empty())
			return FAILED;
	}
	return DONE;
}

OHMGRID_API int ohmgrid_reset(Simulation *s, uint64_t cycles) {
#if OHMGRID_RESET
	s->top.p_rst.data[0] = 1;
#endif
	const int status = ohmgrid_step(s, cycles);
#if OHMGRID_RESET
	s->top.p_rst.data[0] = 0;
#endif
	return status;
}

OHMGRID_API void ohmgrid_watch(Simulation *s, int descriptor) {
	auto watcher = std::make_unique<Watcher>();
#define W(member) watcher->waves.push_back(wave(s->top.member));
	OHMGRID_WAVES
#undef W
	const int own = dup(descriptor);
	watcher->file = own < 0 ? nullptr : fdopen(own, "ab");
	if (watcher->file)
		s->watcher = std::move(watcher);
}

// Returns the error number of what could not be written, 0 if all is there.
OHMGRID_API int ohmgrid_unwatch(Simulation *s) {
	if (!s->watcher)
		return EBADF;
	int error = s->watcher->error;
	if (fclose(s->watcher->file) && !error)
		error = errno;
	s->watcher.reset();
	return error;
}

// Push every word of `in` and pop every word of `out`, each stream at its own pace. `seed` is not 0.
OHMGRID_API int ohmgrid_transact(Simulation *s, Stream *in, uint32_t ins, Stream *out,
		uint32_t outs, uint64_t max_cycles, uint64_t seed) {
	const Port *p = s->ports.data();
	Random random{seed};
	uint64_t left = 0;
	std::vector<uint32_t> offered(ins + outs, 0);
	for (uint32_t k = 0; k < ins; k++)
		left += in[k].count;
	for (uint32_t k = 0; k < outs; k++)
		left += out[k].count;
	const auto level = [p](int32_t port) { return port < 0 || p[port].data[0]; };
	const auto drive = [p](int32_t port, uint32_t bit) { if (port >= 0) p[port].data[0] = bit; };

	int status = left ? TIMEOUT : DONE;
	for (uint64_t c = 0; c < max_cycles && status == TIMEOUT; c++) {
		for (uint32_t k = 0; k < ins; k++) {
			Stream &stream = in[k];
			// Once offered, a word stays until it is taken.
			if (offered[k] || stream.moved == stream.count)
				continue;
			if (stream.idle && random.bits16() < stream.idle)
				continue;
			if (stream.payload >= 0) {
				const Port &payload = p[stream.payload];
				payload.put(stream.data + stream.moved * ((payload.chunks + 1) / 2));
			}
			drive(stream.valid, offered[k] = 1);
		}
		for (uint32_t k = 0; k < outs; k++) {
			const bool waits = out[k].idle && random.bits16() < out[k].idle;
			drive(out[k].ready, offered[ins + k] = out[k].moved < out[k].count && !waits);
		}
		s->before_edge();
		for (uint32_t k = 0; k < ins; k++) {
			if (offered[k] && level(in[k].ready)) {
				in[k].moved++;
				left--;
				offered[k] = 0;
			}
		}
		for (uint32_t k = 0; k < outs; k++) {
			Stream &stream = out[k];
			if (offered[ins + k] && level(stream.valid)) {
				if (stream.payload >= 0) {
					const Port &payload = p[stream.payload];
					payload.take(stream.data + stream.moved * ((payload.chunks + 1) / 2));
				}
				stream.moved++;
				left--;
			}
		}
		s->edge();
		for (uint32_t k = 0; k < ins; k++)
			drive(in[k].valid, offered[k]);
		if (!s->checker.message.empty())
			status = FAILED;
		else if (!left)
			status = DONE;
	}
	for (uint32_t k = 0; k < ins; k++)
		drive(in[k].valid, 0);
	for (uint32_t k = 0; k < outs; k++)
		drive(out[k].ready, 0);
	s->settled = false;
	return status;
}

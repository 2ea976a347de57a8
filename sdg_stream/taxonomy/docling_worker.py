"""Cuts documents into chunks with docling; started as a process of its own, bounded from outside.

    python -P docling_worker.py

Reads lines of JSON: first the settings (``tokenizer``, the folder of a model, with ``gguf_file``, the file in
it, if it is one; or ``tokenizer_json``, the text of such a file; and ``most_tokens``), then one for each
document (``file``, ``suffix``, ``seconds`` of processor time, and for a PDF ``models``, the folder with
docling's). Answers each with a line: ``{"chunks": [...]}``, none for the settings, or ``{"error": "..."}``.
Nothing of the package is imported here.

The settings of the chunker are upstream's: peers merged, headings before the text.
"""

import importlib
import importlib.util
import json
import os
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

MOST_PAGES = 10_000
MOST_UNPACKED = 512 * 1024**2  # bytes
PACKED = (".docx",)
PLAIN = (".txt",)
NAMES = {".markdown": ".md", ".htm": ".html"}
"""Suffixes that docling knows by another one."""


class Unreadable(Exception):
    """The document cannot be read; the text says why."""


def main() -> None:
    """Answer each line until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    cutter = Cutter()
    give: Callable[[dict[str, Any]], list[str]] = cutter.begin
    for line in sys.stdin.buffer:
        answer(line, give, answers)
        give = cutter.chunks


def answer(line: bytes, give: Callable[[dict[str, Any]], list[str]], answers: BinaryIO) -> None:
    """Write what is given for a request, or what went wrong."""
    try:
        words: dict[str, Any] = {"chunks": give(json.loads(line))}
    except ImportError as error:
        words = {"error": f"the library {error.name!r} is missing; pip install 'sdg-stream[docling]'"}
    except (MemoryError, RecursionError) as error:
        words = {"error": f"needs more memory than it may have ({type(error).__name__})"}
    except Unreadable as error:
        words = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 -- parsers raise anything on broken files
        words = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]}
    answers.write(json.dumps(words, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    answers.flush()


class Cutter:
    """Docling's chunker with its settings, and a converter for each folder of models."""

    def begin(self, settings: dict[str, Any]) -> list[str]:
        """Load what all documents need; there are no chunks yet."""
        core = importlib.import_module("docling_core.transforms.chunker.hybrid_chunker")
        wrapped = importlib.import_module("docling_core.transforms.chunker.tokenizer.huggingface")
        self._types = importlib.import_module("docling_core.types.doc")
        tokenizer = wrapped.HuggingFaceTokenizer(
            tokenizer=read_tokenizer(settings), max_tokens=settings["most_tokens"]
        )
        self._chunker = core.HybridChunker(tokenizer=tokenizer, merge_peers=True)
        self._converters: dict[str | None, Any] = {}
        return []

    def chunks(self, request: dict[str, Any]) -> list[str]:
        """The chunks of a document."""
        allow(request["seconds"])
        file, suffix = Path(request["file"]), request["suffix"]
        if suffix in PACKED:
            look_into(file)
        document = (
            self._plain(file) if suffix in PLAIN else self._convert(file, suffix, request.get("models"))
        )
        texts = map(self._chunker.contextualize, self._chunker.chunk(dl_doc=document))
        return [text for text in texts if text.strip()]

    def _convert(self, file: Path, suffix: str, models: str | None) -> Any:
        if models not in self._converters:
            self._converters[models] = make_converter(models)
        stream = importlib.import_module("docling.datamodel.base_models").DocumentStream(
            name=f"document{NAMES.get(suffix, suffix)}", stream=BytesIO(file.read_bytes())
        )
        return self._converters[models].convert(stream, max_num_pages=MOST_PAGES).document

    def _plain(self, file: Path) -> Any:
        """Plain text as paragraphs: to docling it would be Markdown."""
        document = self._types.DoclingDocument(name="document")
        text = file.read_text("utf-8-sig")
        for paragraph in text.split("\n\n"):
            if paragraph.strip():
                document.add_text(label=self._types.DocItemLabel.PARAGRAPH, text=paragraph.strip("\n"))
        return document


def read_tokenizer(settings: dict[str, Any]) -> Any:
    """A tokenizer of ``transformers``; never one that runs code of its own."""
    transformers = importlib.import_module("transformers")
    if "tokenizer" in settings:
        more = {}
        if "gguf_file" in settings:
            importlib.import_module("gguf")  # what is raised if it is missing names it
            more["gguf_file"] = settings["gguf_file"]
        return transformers.AutoTokenizer.from_pretrained(
            settings["tokenizer"], local_files_only=True, trust_remote_code=False, **more
        )
    described = importlib.import_module("tokenizers").Tokenizer.from_str(settings["tokenizer_json"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=described)


def make_converter(models: str | None) -> Any:
    """Docling's converter; with ``models`` for PDF, which nothing else needs."""
    converter = importlib.import_module("docling.document_converter")
    formats = importlib.import_module("docling.datamodel.base_models").InputFormat
    if models is None:
        return converter.DocumentConverter(allowed_formats=[formats.MD, formats.HTML, formats.DOCX])
    option = converter.PdfFormatOption(pipeline_options=pdf_options(models))
    made = converter.DocumentConverter(allowed_formats=[formats.PDF], format_options={formats.PDF: option})
    try:
        made.initialize_pipeline(formats.PDF)
    except Exception as error:
        words = str(error).strip().partition("\n")[0]
        raise Unreadable(
            f"docling cannot load its models from {models}: {type(error).__name__}: {words};"
            f" 'docling-tools models download --output-dir {models}' gets them"
        ) from error
    return made


def pdf_options(models: str) -> Any:
    """As upstream has them: OCR by Tesseract if it is installed, else by EasyOCR, else none."""
    library = importlib.import_module("docling.datamodel.pipeline_options")
    options = library.PdfPipelineOptions(artifacts_path=models, do_ocr=False)
    if importlib.util.find_spec("tesserocr"):
        options.do_ocr, options.ocr_options = True, library.TesseractOcrOptions()
    elif importlib.util.find_spec("easyocr"):
        options.do_ocr = True
        options.ocr_options = library.EasyOcrOptions(
            lang=["en"], confidence_threshold=0.5, model_storage_directory=models, download_enabled=False
        )
    return options


def look_into(file: Path) -> None:
    """Refuse what unpacks to very much."""
    with zipfile.ZipFile(file) as packed:
        if sum(part.file_size for part in packed.infolist()) > MOST_UNPACKED:
            raise Unreadable(f"unpacks to more than {MOST_UNPACKED} bytes")


def allow(seconds: float) -> None:
    """So many more seconds of time on each processor; then the system ends this process."""
    with suppress(ImportError, ValueError, OSError):
        resource: Any = importlib.import_module("resource")  # not on Windows
        own = resource.getrusage(resource.RUSAGE_SELF)
        most = int(own.ru_utime + own.ru_stime + seconds * (os.cpu_count() or 1)) + 1
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (most if hard < 0 else min(most, hard), hard))


if __name__ == "__main__":
    main()

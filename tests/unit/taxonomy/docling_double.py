"""Libraries that stand in for docling's: a chunk for each line, and lines that are commands.

``!pid``, ``!env NAME``, ``!models`` and ``!tokenizer`` give the process, a variable, the folder of models and
the tokenizer; ``!noise`` prints; ``!fail`` raises; ``!die`` ends the process; ``!hang`` takes for ever.
"""

from __future__ import annotations

from pathlib import Path

from taxonomies import write_files

_CHUNKER = """
import os, sys, time
class HybridChunker:
    def __init__(self, tokenizer, merge_peers):
        self.tokenizer = tokenizer
    def chunk(self, dl_doc):
        for line in dl_doc.lines:
            word, _, rest = line.partition(" ")
            if word == "!noise": print("noise"); os.write(1, b"noise\\n")
            if word == "!fail": raise ValueError("no\\n good")
            if word == "!die": os._exit(9)
            if word == "!hang": time.sleep(1000)
            yield {
                "!pid": str(os.getpid()), "!env": repr(os.environ.get(rest)), "!models": dl_doc.models,
                "!tokenizer": f"{self.tokenizer.tokenizer} {self.tokenizer.max_tokens}",
            }.get(word, line)
    def contextualize(self, chunk):
        return "# Heading\\n" + chunk if chunk.strip() else chunk
"""
_DOCUMENT = """
class DocItemLabel:
    PARAGRAPH = "paragraph"
class DoclingDocument:
    models = ""
    def __init__(self, name):
        self.lines = []
    def add_text(self, label, text):
        self.lines.append(f"{label}: {text}")
"""
_CONVERTER = """
from docling_core.types.doc import DoclingDocument
class PdfFormatOption:
    def __init__(self, pipeline_options):
        self.options = pipeline_options
class DocumentConverter:
    def __init__(self, allowed_formats, format_options={}):
        self.allowed, self.options = allowed_formats, format_options
    def initialize_pipeline(self, name):
        if self.options[name].options.artifacts_path.endswith("bad"):
            raise OSError("No such model.\\nDo this.")
    def convert(self, source, max_num_pages):
        assert source.name.rpartition(".")[2] in self.allowed, source.name
        made = DoclingDocument(source.name)
        made.lines = source.stream.read().decode().splitlines()
        for option in self.options.values():
            made.models = f"{option.options.artifacts_path} {option.options.do_ocr}"
        return type("Result", (), {"document": made})
"""
_FILES = {
    "docling_core/transforms/chunker/hybrid_chunker.py": _CHUNKER,
    "docling_core/transforms/chunker/tokenizer/huggingface.py": (
        "class HuggingFaceTokenizer:\n"
        "    def __init__(self, tokenizer, max_tokens):\n"
        "        self.tokenizer, self.max_tokens = tokenizer, max_tokens\n"
    ),
    "docling_core/types/doc.py": _DOCUMENT,
    "docling/document_converter.py": _CONVERTER,
    "docling/datamodel/base_models.py": (
        "class InputFormat: MD, HTML, DOCX, PDF = 'md', 'html', 'docx', 'pdf'\n"
        "class DocumentStream:\n"
        "    def __init__(self, name, stream):\n"
        "        self.name, self.stream = name, stream\n"
    ),
    "docling/datamodel/pipeline_options.py": (
        "class PdfPipelineOptions:\n"
        "    def __init__(self, artifacts_path, do_ocr):\n"
        "        self.artifacts_path, self.do_ocr = artifacts_path, do_ocr\n"
        "class TesseractOcrOptions: pass\n"
    ),
    "transformers.py": (
        "class AutoTokenizer:\n"
        "    def from_pretrained(folder, local_files_only, trust_remote_code, gguf_file=''):\n"
        "        return f'{folder} {local_files_only} {trust_remote_code}{gguf_file}'\n"
        "def PreTrainedTokenizerFast(tokenizer_object): return tokenizer_object\n"
    ),
    "tokenizers.py": (
        "class Tokenizer:\n"
        "    def from_str(text):\n"
        "        if not text: raise Exception('empty')\n"
        "        return text\n"
    ),
    "gguf.py": "",
    "semchunk.py": "",
}  # fmt: skip


def write_double(folder: Path, *, without: str = "") -> Path:
    """Write the libraries to a folder; one of them, if it is named, as if it were missing."""
    files = {
        name: text for name, text in _FILES.items() if Path(name).parts[0].removesuffix(".py") != without
    }
    packages = {str(parent / "__init__.py") for name in files for parent in list(Path(name).parents)[:-1]}
    missing = {f"{without}.py": f"raise ImportError(name={without!r})"} if without else {}
    return write_files(folder, {**dict.fromkeys(packages, ""), **files, **missing})

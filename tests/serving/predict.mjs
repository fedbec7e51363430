// Logits of an ONNX file in node, by the runtime named: node predict.mjs RUNTIME MODEL.onnx IMAGES SHAPE
import { readFileSync } from "node:fs";
const [runtime, model, images, shape] = process.argv.slice(2);
const ort = await import(runtime);
const session = await ort.InferenceSession.create(runtime === "onnxruntime-web" ? readFileSync(model) : model);
const pixels = new ort.Tensor("uint8", new Uint8Array(readFileSync(images)), shape.split(",").map(Number));
const { logits, probabilities } = await session.run({ images: pixels });
console.log(JSON.stringify({ logits: [...logits.data], probabilities: [...probabilities.data] }));
process.exit(0);
